"""The conditions that plans rest on."""

from tests.mutations.records import Mutation

PLANS = "contract/test_plans.py::test_"
NAMED = "contract/test_named_plans.py::test_"
LATE = "contract/test_late_shifts.py::test_"
PLANS_PY = "flagsched/usecases/plans.py"
NAMED_PY = "flagsched/usecases/named_plans.py"
CREATED = f"{PLANS}a_plan_over_fifty_flags_and_four_environments_is_created_whole"

PLAN_MUTATIONS = [
    Mutation(
        "a shift that comes too late moves nothing",
        [f"{LATE}a_shift_that_waits_until_a_step_has_come_moves_nothing_and_records_that_step"],
        [(PLANS_PY, "if one.id in seen_ahead and one.ended_by_instant]", "if False]")],
        beside=[CREATED],
    ),
    Mutation(
        "a refused shift gives its key back",
        [f"{LATE}a_shift_that_came_too_late_can_be_sent_again_with_its_key"],
        [(PLANS_PY, "            give_back_key(work, idempotent)\n", "")],
        beside=[CREATED],
    ),
    Mutation(
        "a shift keeps every instant in the future",
        [f"{PLANS}a_shift_of_which_one_instant_is_refused_moves_nothing"],
        [(PLANS_PY, "if reason := limits.reason(after.scheduled_at - locked.now(after)):", "if reason := None:")],
        beside=[CREATED],
    ),
    Mutation(
        "a plan is changed in the version that was seen",
        [f"{PLANS}a_plan_is_changed_only_in_the_version_that_the_change_is_made_for"],
        [("flagsched/domain/plans.py", "if not precondition.allows(self.id, self.version):", "if False:")],
        beside=[CREATED],
    ),
    Mutation(
        "only what a plan does at once may be due",
        [f"{PLANS}every_instant_that_is_past_or_too_far_is_named"],
        [(PLANS_PY, "not (asked.items.starts_now and item.change.scheduled_at == start)", "False")],
        beside=[CREATED],
    ),
    Mutation(
        "what is in effect of a named plan is left",
        [f"{NAMED}applied_the_first_time_it_is_created_and_the_second_time_nothing_changes"],
        [(NAMED_PY, "            kept.append(one)\n            del wanted[same]\n", "            kept.append(one)\n")],
        beside=[CREATED],
    ),
    Mutation(
        "a dry run writes nothing",
        [f"{NAMED}a_dry_run_tells_what_would_be_done_and_writes_nothing"],
        [(NAMED_PY, "if applied.changed and not dry_run:", "if applied.changed:")],
        beside=[CREATED],
    ),
]
