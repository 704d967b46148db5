"""The guards of holds, as those in `records`."""

from tests.mutations.records import Mutation

HOLDS = "contract/test_holds.py::test_"
LOCKS = "contract/postgresql/test_hold_locks.py::test_"
WEB = "web/test_holds.py::test_"
HOLDS_PY = "flagsched/usecases/holds.py"
HELD = f"{HOLDS}nothing_planned_takes_effect_while_a_flag_is_held_and_all_of_it_in_order_afterwards"
SKIPPED = f"{HOLDS}what_lay_in_a_hold_is_skipped_if_it_says_so"
KEPT = "contract/test_materialise.py::test_a_worker_records_what_a_hold_kept_at_its_end"
FROZEN = f"{HOLDS}a_freeze_refuses_edits_by_hand_unless_somebody_says_why"

HOLD_MUTATIONS = [
    Mutation(
        "nothing takes effect inside a hold",
        [HELD, SKIPPED],
        [
            (
                "flagsched/domain/timeline.py",
                "delay_of(schedule.scheduled_at, agenda.holds) if agenda.holds else None",
                "None",
            )
        ],
        [FROZEN],
    ),
    Mutation(
        "what a hold has skipped changes nothing",
        [SKIPPED, f"{HOLDS}a_release_that_skips_leaves_out_what_lay_in_the_hold_alone"],
        [("flagsched/domain/timeline.py", "    if delay and delay.skipped_by:\n", "    if False:\n")],
        [HELD],
    ),
    Mutation(
        "a worker comes back at the end of a hold",
        [KEPT],
        [
            (
                "flagsched/domain/agenda.py",
                "None if begins_at is None else takes_effect_at(begins_at, self.holds)",
                "begins_at if begins_at is None or takes_effect_at(begins_at, self.holds) == begins_at else None",
            )
        ],
        [FROZEN],
    ),
    Mutation(
        "a hold of an environment bears on all of its flags",
        [f"{WEB}what_is_planned_is_not_refused_by_a_freeze_and_takes_effect_behind_it"],
        [("flagsched/database/holds.py", "sa.union_all(of_flags, of_environments)", "of_flags")],
        [HELD],
    ),
    Mutation(
        "no flag is created while its environment is being held",
        [f"{LOCKS}a_flag_is_created_once_its_environment_has_been_held"],
        [("flagsched/database/flags.py", '        self._lock_creation("pg_advisory_xact_lock", environment)\n', "")],
    ),
    Mutation(
        "a freeze refuses edits",
        [FROZEN, f"{WEB}a_freeze_refuses_edits_by_hand_and_says_how_to_make_one"],
        [("flagsched/usecases/freezes.py", "    if override is None:\n", "    if False:\n")],
        [HELD],
    ),
    Mutation(
        "a hold that is over stays over",
        [
            f"{HOLDS}a_hold_is_given_another_end_while_it_is_not_over",
            f"{HOLDS}a_hold_that_was_released_stays_so_when_the_clock_is_set_back",
        ],
        [("flagsched/usecases/holds.py", "    hold.refuse_if_over(locked.now)\n", "")],
        [HELD],
    ),
    Mutation(
        "an operator sets nothing but off",
        [
            f"{WEB}an_operator_holds_releases_and_turns_off_and_sets_nothing_else[{database}-{updates}-403]"
            for database in ("sqlite", "postgresql")
            for updates in ("updates1", "updates2")
        ],
        [("flagsched/web/admin/holds.py", "        require_role(Role.ADMIN)\n", "        pass\n")],
        [f"{WEB}a_plan_is_held_and_released_with_its_flags"],
    ),
    Mutation(
        "whoever creates a flag looks for holds after waiting for one",
        [f"{LOCKS}a_flag_is_created_once_its_environment_has_been_held"],
        [("flagsched/database/flags.py", "            self.known.forget()\n", "")],
        [f"{LOCKS}a_flag_is_restored_once_its_environment_has_been_held"],
    ),
]
