"""The guards of conditions, as those in `records`."""

from tests.mutations.records import Mutation

CONTRACT = "contract/test_conditions.py::test_"
DOMAIN = "domain/test_conditions.py::test_"
WEB = "web/test_conditions.py::test_"
ON = f"{CONTRACT}raise_it_only_if_it_is_still_on"
UNEDITED = f"{CONTRACT}unedited_is_since_it_was_planned_and_does_not_mind_other_schedules"

CONDITION_MUTATIONS = [
    Mutation(
        "a schedule whose condition is not met changes nothing",
        [ON, UNEDITED, f"{DOMAIN}a_schedule_is_judged_by_what_those_before_it_left"],
        [
            (
                "flagsched/domain/timeline.py",
                "if condition is not None and (reason := condition.unmet(before)):",
                "if condition is not None and (reason := condition.unmet(before)) and False:",
            )
        ],
        [f"{CONTRACT}a_condition_is_replaced_as_a_whole_and_taken_away"],
    ),
    Mutation(
        "a condition is stored with what is set",
        [ON, UNEDITED],
        [
            (
                "flagsched/domain/updates.py",
                "sets if condition is None or sets is None else {**sets, ONLY_IF: condition.as_stored()}",
                "sets",
            )
        ],
        [f"{DOMAIN}a_condition_says_what_was_wanted_and_what_was_found"],
    ),
    Mutation(
        "unedited counts from the version in which it was planned",
        [UNEDITED, f"{CONTRACT}a_condition_that_is_set_anew_counts_edits_from_then_on"],
        [
            (
                "flagsched/domain/conditions.py",
                "return replace(self, planned_version=version) if self.unedited else self",
                "return replace(self, planned_version=1) if self.unedited else self",
            )
        ],
        [ON],
    ),
    Mutation(
        "an edit by hand is remembered",
        [UNEDITED, f"{CONTRACT}an_edit_before_the_clock_was_set_back_counts"],
        [("flagsched/domain/flags.py", "replace(state, edited_version=state.version)", "state")],
        [ON],
    ),
    Mutation(
        "only what was applied changes overrides",
        [f"{DOMAIN}of_users_only_those_whose_overrides_are_changed_are_recorded"],
        [
            (
                "flagsched/domain/timeline.py",
                "applied = (step for step in self.steps if step.outcome is APPLIED)",
                "applied = self.steps",
            )
        ],
        [f"{DOMAIN}a_users_override_has_a_condition_too"],
    ),
    Mutation(
        "a bulk reads conditions as a single schedule does",
        [f"{WEB}a_condition_does_not_stand_among_the_updates"],
        [("flagsched/web/schemas/schedules.py", " or updates.only_if is not None:", ":")],
        [f"{WEB}items_of_a_bulk_are_loaded_as_a_single_one_is"],
    ),
]
