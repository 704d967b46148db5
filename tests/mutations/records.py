"""The guards of flagsched: where each stands, what would stand there without it, and the tests that miss it."""

from collections.abc import Sequence
from dataclasses import dataclass

CLAIMS = "contract/postgresql/test_claims.py::test_"
LOCKS = "contract/postgresql/test_locks.py::test_"
PLAN_LOCKS = "contract/postgresql/test_plan_locks.py::test_"
LATE_SHIFTS = "contract/test_late_shifts.py::test_"
REPEATING = "contract/postgresql/test_idempotency.py::test_"
FLAGS = "contract/test_flags.py::test_"
MIGRATIONS = "contract/test_migrations.py::test_"
ONLY_ONCE = f"{MIGRATIONS}the_database_refuses_what_can_be_only_once"
SCHEDULES = "contract/test_schedules.py::test_"
TROUBLE = "contract/test_trouble.py::test_"
TIMELINE = "domain/test_timeline.py::test_"
HELD_UP = "faults/test_held_up.py::test_"

FLAGS_PY = "flagsched/database/flags.py"
LOCK_CURRENT = "flagsched/usecases/locks.py"
PLANS_PY = "flagsched/database/plans.py"
PLAN_EDITS = "flagsched/usecases/plans.py"
IN_ORDER = "LOCKED = SELECTED.order_by(flags.c.id)"
BEFORE, AFTER = "flags.c.next_due_at", "rows.c.next_due_at"
FIRST = "migrations/versions/0001_flags_schedules_history.py"
ANSWERS = "flagsched/database/idempotency.py"

READ = "contract/test_flags.py::test_a_flag_is_read_as_it_is_now_with_no_worker_alive"
RECORD = "contract/test_materialise.py::test_unordered_times_take_effect_in_order_of_time"


@dataclass(frozen=True)
class Mutation:
    """`edits` take it out: file, the text that stands there once, and what to put instead.

    All of `tests` must fail without it; those `beside` it must not, so that no test fails for another reason.
    """

    name: str
    tests: Sequence[str]
    edits: Sequence[tuple[str, str, str]]
    beside: Sequence[str] = (READ, RECORD)


RECORDING_MUTATIONS = [
    Mutation(
        "the claim locks no key",
        [f"{LOCKS}an_open_foreign_key_check_does_not_hide_a_flag_from_the_worker"],
        [(FLAGS_PY, "with_for_update(key_share=True, skip_locked=True)", "with_for_update(skip_locked=True)")],
    ),
    Mutation(
        "the claim locks",
        [f"{LOCKS}two_workers_never_hold_one_flag"],
        [(FLAGS_PY, ".with_for_update(key_share=True, skip_locked=True)", "")],
    ),
    Mutation(
        "the claim skips what is locked",
        [f"{LOCKS}a_locked_flag_delays_no_other"],
        [(FLAGS_PY, "with_for_update(key_share=True, skip_locked=True)", "with_for_update(key_share=True)")],
    ),
    Mutation(
        "the claim is judged on the locked row",
        [f"{CLAIMS}a_claim_that_looked_before_a_record_was_committed_finds_nothing_left_to_do"],
        [
            (
                FLAGS_PY,
                "SELECTED.where(\n            flags.c.next_due_at <= now,\n"
                "            sa.or_(flags.c.retry_at.is_(None), flags.c.retry_at <= now),\n        )",
                "SELECTED.where(flags.c.id.in_((lambda seen: sa.select(seen.c.id).where(\n"
                "            seen.c.next_due_at <= now,\n"
                "            sa.or_(seen.c.retry_at.is_(None), seen.c.retry_at <= now),\n"
                "        ))(flags.alias())))",
            )
        ],
    ),
    Mutation(
        "the claim heeds retry_at",
        [f"{TROUBLE}a_flag_that_one_worker_puts_off_is_left_alone_by_all"],
        [(FLAGS_PY, "            sa.or_(flags.c.retry_at.is_(None), flags.c.retry_at <= now),\n", "")],
    ),
    Mutation(
        "a writer locks no key",
        [f"{CLAIMS}an_open_foreign_key_check_keeps_no_writer_waiting"],
        [(FLAGS_PY, IN_ORDER + ".with_for_update(key_share=True)", IN_ORDER + ".with_for_update()")],
    ),
    Mutation(
        "a writer locks",
        [f"{LOCKS}a_locked_flag_delays_no_other", f"{LOCKS}a_writer_that_waits_too_long_is_told_so"],
        [(FLAGS_PY, IN_ORDER + ".with_for_update(key_share=True)", IN_ORDER)],
    ),
    Mutation(
        "a writer locks before the clock",
        [f"{CLAIMS}a_change_that_had_to_wait_is_in_effect_only_from_its_lock_on"],
        [
            (
                LOCK_CURRENT,
                "    locked = work.flags.lock(names, ids)\n    clock = work.now()\n",
                "    clock = work.now()\n    locked = work.flags.lock(names, ids)\n",
            ),
        ],
    ),
    Mutation(
        "a writer catches up first",
        [f"{FLAGS}an_edit_first_writes_down_what_is_in_effect", f"{SCHEDULES}what_is_in_effect_cannot_be_cancelled"],
        [(LOCK_CURRENT, "for flag in locked if flag.is_due(clock)]", "for flag in locked if flag is None]")],
    ),
    Mutation(
        "the last statement asks the clock",
        [
            f"{SCHEDULES}a_cancel_that_its_instant_overtakes_is_refused",
            f"{SCHEDULES}a_plan_that_its_instant_overtakes_is_refused",
        ],
        [(FLAGS_PY, '(*WRITTEN, "revision")).where(*still_ahead)', '(*WRITTEN, "revision"))')],
    ),
    Mutation(
        "it asks about the agenda before",
        [f"{SCHEDULES}a_cancel_that_its_instant_overtakes_is_refused"],
        [(FLAGS_PY, f"for due_at in ({BEFORE}, {AFTER})]", f"for due_at in ({AFTER},)]")],
    ),
    Mutation(
        "it asks about the agenda after",
        [f"{SCHEDULES}a_plan_that_its_instant_overtakes_is_refused"],
        [(FLAGS_PY, f"for due_at in ({BEFORE}, {AFTER})]", f"for due_at in ({BEFORE},)]")],
    ),
    Mutation(
        "what was overtaken is tried again",
        [
            f"{SCHEDULES}a_cancel_that_its_instant_overtakes_is_refused",
            f"{SCHEDULES}a_plan_that_its_instant_overtakes_is_refused",
        ],
        [(LOCK_CURRENT, "in range(MAX_TRIES - 1)", "in range(0)")],
    ),
    Mutation(
        "the COMMIT asks the clock",
        [f"{HELD_UP}a_change_of_mind_whose_commit_comes_late_is_refused"],
        [("migrations/versions/0003_refuse_overtaken_commits.py", "        op.execute(TRIGGER)\n", "")],
    ),
    Mutation(
        "every writer keeps next_due_at",
        [
            "contract/test_materialise.py::test_what_is_cancelled_or_not_due_is_left_alone",
            f"{TIMELINE}what_is_due_next_is_the_first_that_has_not_ended_whatever_its_outcome",
        ],
        [("flagsched/domain/timeline.py", "next_due_at=self.ahead.next_due_at)", "next_due_at=None)")],
        beside=[READ],
    ),
    Mutation(
        "one number, one schedule",
        [f"{ONLY_ONCE}[{on}-number]" for on in ("sqlite", "postgresql")],
        [(FIRST, '        sa.UniqueConstraint("flag_id", "seq", name="uq_feature_flag_schedules_flag_id_seq"),\n', "")],
    ),
    Mutation(
        "one version, one schedule",
        [f"{ONLY_ONCE}[{on}-version]" for on in ("sqlite", "postgresql")],
        [
            (
                FIRST,
                '        sa.UniqueConstraint("flag_id", "flag_version", '
                'name="uq_feature_flag_schedules_flag_id_flag_version"),\n',
                "",
            )
        ],
    ),
    Mutation(
        "one schedule, one application",
        [f"{ONLY_ONCE}[postgresql-application]"],
        [
            (
                FIRST,
                '        ["schedule_id"],\n        unique=True,\n',
                '        ["schedule_id"],\n        unique=False,\n',
            )
        ],
    ),
    Mutation(
        "one name, one flag",
        [f"{ONLY_ONCE}[{on}-name]" for on in ("sqlite", "postgresql")]
        + [f"{FLAGS}a_key_is_taken_in_its_environment_only"],
        [
            (FIRST, '        ["environment", "key"],\n        unique=True,\n', '        ["environment", "key"],\n'),
            # It names the index.
            (
                FLAGS_PY,
                'insert.on_conflict_do_nothing(index_elements=["environment", "key"], index_where=LIVE)',
                "insert",
            ),
        ],
    ),
    Mutation(
        "only what is pending is recorded",
        [f"{TROUBLE}a_schedule_that_somebody_ended_by_hand_is_not_recorded_as_applied"],
        [("flagsched/database/errors.py", "    if changed != asked:\n", "    if changed > asked:\n")],
    ),
    Mutation(
        "the history is only added to",
        [f"{MIGRATIONS}the_history_refuses_to_be_{done}" for done in ("changed", "replaced", "truncated")],
        [(FIRST, "        op.execute(trigger)\n", "        pass\n")],
    ),
    Mutation(
        "a flag's present is not before its past",
        [f"{FLAGS}a_clock_set_back_reorders_nothing", f"{TIMELINE}a_clock_set_back_does_not_undo_what_was_written"],
        [("flagsched/domain/flags.py", "return max(clock, self.state.changed_at)", "return clock")],
    ),
    Mutation(
        "the instant decides the order",
        [RECORD],
        [("flagsched/domain/agenda.py", 'attrgetter("scheduled_at", "seq")', 'attrgetter("seq")')],
        beside=[READ],
    ),
    Mutation(
        "on a tie the number decides",
        [f"{TIMELINE}on_a_tie_the_later_created_wins"],
        [("flagsched/domain/agenda.py", 'attrgetter("scheduled_at", "seq")', 'attrgetter("scheduled_at")')],
    ),
    Mutation(
        "a reader sees one instant",
        [f"{LOCKS}a_reader_sees_one_instant_of_the_database"],
        [("flagsched/database/unit_of_work.py", '"REPEATABLE READ"', '"READ COMMITTED"')],
    ),
    Mutation(
        "a writer on SQLite locks as it begins",
        ["contract/test_sqlite.py::test_a_writer_begins_only_once_no_other_is_writing"],
        [("flagsched/database/connections/sqlite.py", '"BEGIN" if reading else "BEGIN IMMEDIATE"', '"BEGIN"')],
    ),
    Mutation(
        "a request's key is a lock",
        [
            f"{REPEATING}an_equal_request_that_waits_for_too_long_is_told_so",
            "web/test_idempotency.py::test_fifty_equal_requests_at_once_have_one_effect[postgresql]",
        ],
        [
            (
                ANSWERS,
                "        if self._insert(key, now):\n            return None\n"
                "        kept = self.connection.execute(sa.select(idempotency).where(_of(key))).one()\n",
                "        kept = self.connection.execute(sa.select(idempotency).where(_of(key))).one_or_none()\n"
                "        if kept is None:\n            return None\n",
            ),
            (
                ANSWERS,
                '        kept = {"status": answer.status,',
                '        self._insert(key, now)\n        kept = {"status": answer.status,',
            ),
        ],
    ),
    Mutation(
        "writers of one plan take turns",
        [f"{PLAN_LOCKS}a_change_of_a_plan_waits_for_another_and_is_judged_after_it"],
        [(PLANS_PY, "self._one(FOUND.with_for_update()", "self._one(FOUND")],
    ),
    Mutation(
        "environments are locked by name",
        [f"{PLAN_LOCKS}plans_over_different_flags_of_the_same_environments_in_opposite_order_never_deadlock"],
        [("flagsched/database/revisions.py", "names = sorted(wake_at)", "names = list(wake_at)")],
    ),
    Mutation(
        "a shift that came too late moves nothing",
        [f"{LATE_SHIFTS}a_shift_that_waits_until_a_step_has_come_moves_nothing_and_records_that_step"],
        [(PLAN_EDITS, "        if late:\n", "        if not locked:\n")],
    ),
    Mutation(
        "a shift that came too late keeps no key",
        [f"{LATE_SHIFTS}a_shift_that_came_too_late_can_be_sent_again_with_its_key"],
        [(PLAN_EDITS, "            give_back_key(work, idempotent)\n", "")],
    ),
]
