"""The doctor, on every database: silent when all is well, and naming what somebody broke by hand."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from flagsched.database.doctor import DUE, LOCAL
from flagsched.database.invariants import INVARIANTS
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagEdit, FlagName
from flagsched.domain.holds import NewHold
from flagsched.domain.overrides import NewOverride, OverrideType
from flagsched.domain.schedules import ScheduleEdit
from flagsched.domain.updates import Updates
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.doctor import Finding, examine, repair
from flagsched.usecases.flags import archive_flag, create_flag, edit_flag, read_flag
from flagsched.usecases.holds import hold_environment, hold_flag, release_hold
from flagsched.usecases.materialise import materialise_due
from flagsched.usecases.overrides import remove_override, set_override
from flagsched.usecases.schedules import cancel_schedule, edit_schedule, plan_schedules
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_change, a_new_flag, after
from tests.rows import the_flag


@pytest.fixture(autouse=True)
def _a_life(store: SqlStore, clock: ManualClock) -> None:
    """All that can happen to a flag, and another that is archived; two schedules are to come."""
    create_flag(a_new_flag(), by=ADMIN, store=store)
    changes = [a_change(after(s), rollout_percentage=s) for s in (10, 20, 30, 40, 50)]
    planned = plan_schedules(CHECKOUT, changes, batch=True, by=ADMIN, store=store)
    cancel_schedule(CHECKOUT, planned[2].schedule.id, by=ADMIN, store=store)
    edit_schedule(CHECKOUT, planned[3].schedule.id, ScheduleEdit(after(60)), by=ADMIN, store=store)
    clock.at = after(25)
    materialise_due(store, Backoff(lambda: 0.0))
    edit_flag(CHECKOUT, FlagEdit(Updates(enabled=True)), by=ADMIN, store=store)
    for user, kind in [("ben", OverrideType.INCLUDE), ("ben", OverrideType.EXCLUDE), ("eve", OverrideType.INCLUDE)]:
        set_override(CHECKOUT, NewOverride(user, kind, 'says "é"'), by=ADMIN, store=store)
    remove_override(CHECKOUT, "eve", by=ADMIN, store=store)
    held = [
        hold_flag(CHECKOUT, NewHold("it burns", after(26), after(28)), by=ADMIN, store=store),
        hold_environment("production", NewHold("holidays", after(70)), by=ADMIN, store=store),
    ]
    release_hold(held[1].hold.id, by=ADMIN, store=store)


def run(engine: sa.Engine, *statements: str) -> None:
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET session_replication_role = replica")  # Without triggers.
        else:
            connection.exec_driver_sql("DROP TRIGGER IF EXISTS feature_flag_history_no_update")
            connection.exec_driver_sql("DROP TRIGGER IF EXISTS feature_flag_history_no_delete")
        for statement in statements:
            connection.exec_driver_sql(statement)
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET session_replication_role = DEFAULT")


def wrong(store: SqlStore, clock: ManualClock) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine(store, clock.at) if not finding.ok}


def test_all_is_well_with_a_life_of_everything(store: SqlStore, clock: ManualClock) -> None:
    gone = FlagName("production", "gone")
    create_flag(a_new_flag("gone"), by=ADMIN, store=store)
    set_override(gone, NewOverride("ben", OverrideType.INCLUDE), by=ADMIN, store=store)
    plan_schedules(gone, [a_change(after(70))], batch=False, by=ADMIN, store=store)
    archive_flag(gone, by=ADMIN, store=store)

    findings = examine(store, clock.at)

    assert [finding for finding in findings if not finding.ok] == []
    assert {finding.check for finding in findings} == {"schema", "clock", "record", "storage", DUE, LOCAL, *INVARIANTS}


BROKEN: dict[str, tuple[str, str]] = {
    "created entry lost": (
        "DELETE FROM feature_flag_history WHERE action = 'schedule.created' AND id = "
        "(SELECT min(id) FROM feature_flag_history WHERE action = 'schedule.created')",
        "each schedule was created by one entry of the history",
    ),
    "schedule lost": (
        "DELETE FROM feature_flag_schedules WHERE seq = 5",
        "each schedule was created by one entry of the history",
    ),
    "applied entry lost": (
        "DELETE FROM feature_flag_history WHERE action = 'schedule.applied' AND flag_version = 3",
        "each ended schedule was ended by one entry, in the version that it made",
    ),
    "applied without a word": (
        "UPDATE feature_flag_schedules SET status = 'applied', applied_at = created_at, flag_version = 9 WHERE seq = 5",
        "each ended schedule was ended by one entry, in the version that it made",
    ),
    "another version": (
        "UPDATE feature_flag_schedules SET flag_version = 77 WHERE seq = 2",
        "each ended schedule was ended by one entry, in the version that it made",
    ),
    "version skipped": (
        "UPDATE feature_flags SET version = 9",
        "the versions of each flag have no gaps",
    ),
    "edit lost": (
        "DELETE FROM feature_flag_history WHERE action = 'flag.updated'",
        "the versions of each flag have no gaps",
    ),
    "out of order": (
        "UPDATE feature_flag_schedules SET flag_version = flag_version + 10 WHERE seq = 1",
        "schedules were applied in order",
    ),
    "state by hand": (
        "UPDATE feature_flags SET rollout_percentage = 77",
        "each flag is what its last change made it",
    ),
    "instant by hand": (
        "UPDATE feature_flags SET changed_at = created_at",
        "each flag is what its last change made it",
    ),
    "history rewritten": (
        'UPDATE feature_flag_history SET before = \'{"enabled": true, "rolloutPercentage": 3}\' WHERE flag_version = 2',
        "each change begins where the one before it ended",
    ),
    "never due": (
        "UPDATE feature_flags SET next_due_at = NULL",
        "next_due_at is what the agenda says",
    ),
    "plan by hand": (
        "UPDATE feature_flag_schedules SET scheduled_at = updated_at WHERE status = 'pending'",
        "next_due_at is what the agenda says",
    ),
    "plan lost": (
        "DELETE FROM feature_flag_plans",
        "each schedule of a plan has its plan",
    ),
    "other rules of a time zone": (
        "UPDATE feature_flag_schedules SET local_time = '2096-06-01T14:00:50', time_zone = 'Asia/Tokyo' WHERE seq = 5",
        "each pending schedule is at its local time, by the time zones of this release",
    ),
    "updates by hand": (
        "UPDATE feature_flag_schedules SET updates = '{\"rolloutPercentage\": 99}' WHERE seq = 1",
        "what was applied is what was planned",
    ),
    "flag lost": (
        "DELETE FROM feature_flag_schedules; DELETE FROM feature_flag_overrides; "
        "DELETE FROM feature_flag_holds; DELETE FROM feature_flags",
        "each entry of the history tells of a flag",
    ),
    "numbers lost": (
        "UPDATE feature_flags SET last_seq = 0",
        "each flag knows its birth and its last schedule",
    ),
    "birth by hand": (
        "UPDATE feature_flags SET created_at = changed_at",
        "each flag knows its birth and its last schedule",
    ),
    "no boolean": (
        'UPDATE feature_flag_history SET after = \'{"enabled": "maybe", "rolloutPercentage": 5.5}\' '
        "WHERE action = 'flag.updated'",
        "each flag is what its last change made it",
    ),
    "archived by hand": (
        "UPDATE feature_flags SET archived_at = created_at, next_due_at = NULL",
        "archived flags have no agenda",
    ),
    "override by hand": (
        "UPDATE feature_flag_overrides SET override_type = 'include'",
        "each override is what its last change made it",
    ),
    "reason by hand": (
        "UPDATE feature_flag_overrides SET reason = ''",
        "each override is what its last change made it",
    ),
    "override lost": (
        "DELETE FROM feature_flag_overrides",
        "each override is what its last change made it",
    ),
    "override entry lost": (
        "DELETE FROM feature_flag_history WHERE action = 'override.removed'",
        "each override is what its last change made it",
    ),
    "override without a word": (
        "DELETE FROM feature_flag_history WHERE action = 'override.set'",
        "each override is what its last change made it",
    ),
    "hold over what has come": (
        "UPDATE feature_flag_holds SET ends_at = NULL, starts_at = (SELECT min(created_at) FROM feature_flags) "
        "WHERE flag_id IS NOT NULL",
        "no schedule took effect inside a hold",
    ),
    "hold of its environment over what has come": (
        "UPDATE feature_flag_holds SET ends_at = NULL, starts_at = (SELECT min(created_at) FROM feature_flags) "
        "WHERE flag_id IS NULL",
        "no schedule took effect inside a hold",
    ),
    "hold lost": (
        "DELETE FROM feature_flag_holds",
        "each hold is what its last change made it",
    ),
    "hold entry lost": (
        "DELETE FROM feature_flag_history WHERE action = 'hold.placed' AND flag_key <> ''",
        "each hold is what its last change made it",
    ),
    "hold opened by hand": (
        "UPDATE feature_flag_holds SET released_at = NULL, released_by = NULL",
        "each hold is what its last change made it",
    ),
    "revision lost": (
        "DELETE FROM feature_flag_environments",
        "no flag is ahead of its environment's revision",
    ),
    "older environment": (
        "UPDATE feature_flag_environments SET revision = 1",
        "no flag is ahead of its environment's revision",
    ),
}


@pytest.mark.parametrize(("statement", "invariant"), BROKEN.values(), ids=BROKEN.keys())
def test_what_somebody_broke_by_hand_is_named(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, statement: str, invariant: str
) -> None:
    assert wrong(store, clock) == {}

    run(engine, *statement.split(";"))

    found = wrong(store, clock)
    assert invariant in found
    assert found[invariant].examples


def test_every_invariant_is_broken_by_some_case() -> None:
    assert {invariant for _, invariant in BROKEN.values()} == {DUE, LOCAL, *INVARIANTS}


def test_work_that_waits_is_told_with_the_reason(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    clock.at = after(50 + 59)
    assert wrong(store, clock) == {}
    clock.at = after(50 + 60)
    assert wrong(store, clock)["record"].examples == ["production/new-checkout since 2096-06-01T12:00:50Z"]

    flag_id = the_flag(engine).id
    with store.writing() as work:
        work.flags.postpone(flag_id, until=after(500), error="somebody holds it")
        work.commit()

    assert wrong(store, clock)["record"].examples == [
        "production/new-checkout since 2096-06-01T12:00:50Z: somebody holds it"
    ]


def test_clocks_that_disagree_are_told(store: SqlStore, clock: ManualClock) -> None:
    (ahead,) = [f for f in examine(store, clock.at + timedelta(minutes=10)) if not f.ok]
    clock.at = after(5)
    (back,) = [f for f in examine(store, clock.at) if not f.ok]

    assert "differs from the database's by 600 s" in ahead.message
    assert "says 2096-06-01T12:00:05Z, but something was recorded at 2096-06-01T12:00:25Z" in back.message


def test_a_schema_that_does_not_fit_is_told_and_nothing_else_is_tried(store: SqlStore, engine: sa.Engine) -> None:
    run(engine, "UPDATE flagsched_alembic_version SET version_num = '0001'")

    (finding,) = examine(store, after(0))

    assert (finding.check, finding.ok) == ("schema", False)
    assert "flagsched db upgrade" in finding.message


def test_a_repair_recomputes_what_follows_from_the_plans(
    store: SqlStore, clock: ManualClock, engine: sa.Engine
) -> None:
    run(
        engine,
        "UPDATE feature_flags SET next_due_at = NULL, retry_at = created_at, last_error = 'x'",
        "UPDATE feature_flag_schedules SET scheduled_at = updated_at WHERE seq = 5",
        "DELETE FROM feature_flag_environments",
    )
    assert wrong(store, clock).keys() > {"next_due_at is what the agenda says"}

    assert repair(store) == ["production"]

    assert wrong(store, clock) == {}
    assert read_flag(CHECKOUT, store=store).state.rollout_percentage == 50
    materialise_due(store, Backoff(lambda: 0.0))
    assert read_flag(CHECKOUT, store=store).materialized


def test_a_repair_raises_revisions_beyond_all_that_counting_has_given(
    store: SqlStore, clock: ManualClock, engine: sa.Engine
) -> None:
    def revisions() -> list[Any]:
        with engine.connect() as connection:
            return list(connection.exec_driver_sql("SELECT revision FROM feature_flag_environments").scalars())

    (before,) = revisions()
    repair(store)
    (first,) = revisions()
    repair(store)
    (again,) = revisions()
    edit_flag(CHECKOUT, FlagEdit(description="x"), by=ADMIN, store=store)

    assert before < 1000 < clock.at.timestamp() * 1000 == first < again
    assert revisions() == [again + 1] == [the_flag(engine).revision]


def test_a_repair_also_goes_over_what_it_cannot_mend(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    run(engine, "UPDATE feature_flags SET archived_at = created_at, next_due_at = NULL")
    create_flag(a_new_flag(environment="staging"), by=ADMIN, store=store)
    run(engine, "UPDATE feature_flags SET next_due_at = created_at WHERE environment = 'staging'")

    assert repair(store) == ["production", "staging"]

    assert "archived flags have no agenda" in wrong(store, clock)
    assert "next_due_at is what the agenda says" not in wrong(store, clock)


def test_what_others_recorded_meanwhile_is_no_clock_that_was_set_back(store: SqlStore, clock: ManualClock) -> None:
    clock.at = after(21)

    assert wrong(store, clock) == {}


def test_a_repair_changes_no_flag_and_writes_no_history(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    before = read_flag(CHECKOUT, store=store)
    clock.at = after(55)

    repair(store)

    assert the_flag(engine).next_due_at == after(50)
    assert read_flag(CHECKOUT, store=store).flag.state == before.flag.state
