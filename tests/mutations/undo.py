"""The guards of undo, as those in `records`."""

from tests.mutations.records import Mutation

UNDO = "contract/test_undo.py::test_"
UNDO_PY = "flagsched/usecases/undo.py"
EDIT = f"{UNDO}an_edit_is_undone_and_the_undo_too"

UNDO_MUTATIONS = [
    Mutation(
        "what was changed since is not set back",
        [f"{UNDO}what_was_changed_since_is_set_back_by_force_alone"],
        [("flagsched/domain/undo.py", "        if not force and (conflicts", "        if False and (conflicts")],
        [EDIT],
    ),
    Mutation(
        "an undo of a plan is whole or not at all",
        [f"{UNDO}a_plan_is_undone_as_a_whole_or_not_at_all"],
        [(UNDO_PY, "    if conflicts and not force:\n", "    if False:\n")],
        [f"{UNDO}a_plan_half_in_effect_is_undone_as_a_whole"],
    ),
    Mutation(
        "an undo tells what it undoes",
        [EDIT, f"{UNDO}a_plan_half_in_effect_is_undone_as_a_whole"],
        [
            (
                "flagsched/domain/history.py",
                "        exemption=exemption,\n        undoes=undoes,\n",
                "        exemption=exemption,\n",
            )
        ],
        [f"{UNDO}only_what_the_entry_changed_is_set_back"],
    ),
    Mutation(
        "an undo is an edit in a freeze",
        [f"{UNDO}a_freeze_refuses_an_undo_unless_somebody_says_why"],
        [
            (
                UNDO_PY,
                "return refuse_frozen(self.work, self.flag, self.clock, self.override)",
                "return None",
            )
        ],
        [EDIT],
    ),
    Mutation(
        "a cancelled schedule is planned anew once",
        [f"{UNDO}the_creation_of_a_schedule_is_undone_by_its_cancellation_and_that_by_another"],
        [(UNDO_PY, "    if undo.work.history.undoing(entry):\n", "    if False:\n")],
        [EDIT],
    ),
    Mutation(
        "an entry of an archived flag is not undone on the one that has its key",
        [f"{UNDO}an_archived_flag_does_not_come_back_while_another_has_its_key"],
        [(UNDO_PY, "    if flag.id != entry.flag_id:\n", "    if False:\n")],
        [EDIT],
    ),
]
