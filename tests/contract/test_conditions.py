"""Schedules with a condition, on every database: skipped where it is not met, with or without a worker."""

from collections.abc import Sequence

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.conditions import Condition
from flagsched.domain.durations import Duration
from flagsched.domain.effective import EffectiveSchedule
from flagsched.domain.errors import AlreadySkipped, ValidationFailed
from flagsched.domain.flags import FlagEdit
from flagsched.domain.holds import NewHold
from flagsched.domain.plans import NewPlan
from flagsched.domain.rollouts import Rollout, RolloutEnvironment, RolloutStep
from flagsched.domain.schedules import PlannedChange, ScheduleEdit, Status
from flagsched.domain.updates import Updates
from flagsched.ports.schedules import ScheduleQuery
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.doctor import examine
from flagsched.usecases.flags import create_flag, edit_flag, read_flag
from flagsched.usecases.holds import hold_flag, release_hold
from flagsched.usecases.named_plans import apply_plan
from flagsched.usecases.schedules import cancel_schedule, edit_schedule, list_schedules, plan_schedules
from flagsched.usecases.timeline import preview_schedules, read_timeline
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_new_flag, after
from tests.contract.records import drain, run, told_now
from tests.rows import all_history, all_schedules

IF_ON = Condition(enabled=True)
UNEDITED = Condition(unedited=True)
NOT_ON = "onlyIf is not met: wanted on, found off"


@pytest.fixture(autouse=True)
def _flag(store: SqlStore) -> None:
    create_flag(a_new_flag(enabled=True, rollout_percentage=10), by=ADMIN, store=store)


def raised(seconds: float, percentage: int, condition: Condition | None = IF_ON) -> PlannedChange:
    return PlannedChange(after(seconds), Updates(rollout_percentage=percentage, only_if=condition))


def plan(store: SqlStore, *changes: PlannedChange) -> list[EffectiveSchedule]:
    return plan_schedules(CHECKOUT, changes, batch=True, by=ADMIN, store=store)


def edit(store: SqlStore, **updates: object) -> None:
    edit_flag(CHECKOUT, FlagEdit(Updates(**updates)), by=ADMIN, store=store)  # type: ignore[arg-type]


def told(store: SqlStore) -> Sequence[tuple[Status, str | None]]:
    return [(one.status, one.reason) for one in list_schedules(CHECKOUT, ScheduleQuery(), store=store).items]


def seen(store: SqlStore) -> tuple[bool, int, int]:
    state = read_flag(CHECKOUT, store=store).state
    assert told_now(store).flags[CHECKOUT.key].effective.state == state
    return state.enabled, state.rollout_percentage, state.version


def test_raise_it_only_if_it_is_still_on(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    plan(store, raised(10, 50), raised(20, 100))
    clock.at = after(15)
    edit(store, enabled=False)
    clock.at = after(25)

    unrecorded = told(store), seen(store)
    drain(store, backoff)

    assert unrecorded == ([(Status.APPLIED, None), (Status.SKIPPED, NOT_ON)], (False, 50, 3))
    assert (told(store), seen(store)) == unrecorded
    assert [one.status for one in all_schedules(engine)] == ["applied", "skipped"]
    assert all_history(engine)[-1].action == "schedule.skipped"
    assert [finding for finding in examine(store, clock.at) if not finding.ok] == []


def test_unedited_is_since_it_was_planned_and_does_not_mind_other_schedules(
    store: SqlStore, clock: ManualClock, backoff: Backoff
) -> None:
    edit(store, rollout_percentage=11)
    plan(store, raised(10, 20, UNEDITED), raised(20, 30, UNEDITED), raised(30, 40, UNEDITED))
    clock.at = after(15)
    drain(store, backoff)
    edit_flag(CHECKOUT, FlagEdit(description="another"), by=ADMIN, store=store)
    clock.at = after(25)
    edit(store, rollout_percentage=5)
    clock.at = after(35)

    why = "onlyIf is not met: wanted unedited, found an edit by hand in version 6"
    assert told(store) == [(Status.APPLIED, None), (Status.APPLIED, None), (Status.SKIPPED, why)]
    assert seen(store) == (True, 5, 6)


def test_an_edit_before_the_clock_was_set_back_counts(store: SqlStore, clock: ManualClock) -> None:
    clock.at = after(100)
    plan(store, raised(110, 20, UNEDITED))
    clock.at = after(50)
    edit(store, rollout_percentage=5)
    clock.at = after(111)

    assert [status for status, _ in told(store)] == [Status.SKIPPED]


def test_next_change_leaves_out_what_will_be_skipped(store: SqlStore) -> None:
    plan(store, raised(10, 50, Condition(enabled=False)), raised(20, 60))

    assert read_flag(CHECKOUT, store=store).next_change_at == after(20)
    timeline = read_timeline(CHECKOUT, None, None, store=store)
    assert [(one.start, one.state.rollout_percentage) for one in timeline.segments][1:] == [(after(20), 60)]
    assert [(one.scheduled_at, one.status, one.reason) for one in timeline.passed_over] == [
        (after(10), Status.SKIPPED, "onlyIf is not met: wanted off, found on")
    ]


def test_a_preview_judges_drafts_as_they_come_about(store: SqlStore, clock: ManualClock) -> None:
    edit(store, rollout_percentage=11)
    drafts = [raised(10, 50, UNEDITED), raised(20, 60, Condition(at_most=20))]

    preview = preview_schedules(CHECKOUT, drafts, store=store)
    plan(store, *drafts)
    clock.at = after(30)

    assert [one.state.rollout_percentage for one in preview.segments] == [11, 50]
    assert [one.cause.draft for one in preview.passed_over] == [1]
    assert [status for status, _ in told(store)] == [Status.APPLIED, Status.SKIPPED]


def test_a_condition_is_replaced_as_a_whole_and_taken_away(store: SqlStore, clock: ManualClock) -> None:
    (planned,) = plan(store, raised(10, 50))
    edited = []
    for change in (
        ScheduleEdit(updates=Updates(rollout_percentage=60)),
        ScheduleEdit(sets_condition=True, only_if=UNEDITED),
        ScheduleEdit(scheduled_at=after(12)),
        ScheduleEdit(sets_condition=True),
    ):
        one = edit_schedule(CHECKOUT, planned.schedule.id, change, by=ADMIN, store=store)
        edited.append(one.schedule.updates.only_if)
    edit(store, enabled=False)
    clock.at = after(13)

    assert edited == [IF_ON, UNEDITED, UNEDITED, None]
    assert seen(store) == (False, 60, 3)


def test_a_condition_that_is_set_anew_counts_edits_from_then_on(store: SqlStore, clock: ManualClock) -> None:
    (planned,) = plan(store, raised(10, 50, UNEDITED))
    edit(store, rollout_percentage=5)
    again = ScheduleEdit(sets_condition=True, only_if=UNEDITED)
    edit_schedule(CHECKOUT, planned.schedule.id, again, by=ADMIN, store=store)
    clock.at = after(11)

    assert told(store) == [(Status.APPLIED, None)]


def test_a_condition_can_not_be_set_on_what_can_not_be_read(store: SqlStore, engine: sa.Engine) -> None:
    (planned,) = plan(store, raised(10, 50))
    run(engine, "UPDATE feature_flag_schedules SET updates = '[]'")
    condition = ScheduleEdit(sets_condition=True, only_if=UNEDITED)

    with pytest.raises(ValidationFailed) as refused:
        edit_schedule(CHECKOUT, planned.schedule.id, condition, by=ADMIN, store=store)

    assert [*refused.value.details] == ["onlyIf"]


def test_what_was_skipped_has_ended(store: SqlStore, clock: ManualClock) -> None:
    (planned,) = plan(store, raised(10, 50, Condition(enabled=False)))
    clock.at = after(11)

    with pytest.raises(AlreadySkipped):
        cancel_schedule(CHECKOUT, planned.schedule.id, by=ADMIN, store=store)


def test_behind_a_hold_a_condition_is_judged_when_it_ends(store: SqlStore, clock: ManualClock) -> None:
    plan(store, raised(10, 50))
    held = hold_flag(CHECKOUT, NewHold("it burns", updates=Updates(enabled=False)), by=ADMIN, store=store).hold
    clock.at = after(20)

    release_hold(held.id, by=ADMIN, store=store)

    assert told(store) == [(Status.SKIPPED, NOT_ON)]
    assert seen(store) == (False, 10, 2)


def test_a_named_plan_differs_by_its_condition_alone(store: SqlStore) -> None:
    def of(condition: Condition | None) -> NewPlan:
        steps = [RolloutStep(Updates(rollout_percentage=50, only_if=condition), Duration(seconds=60))]
        rollout = Rollout([CHECKOUT.key], [RolloutEnvironment("production")], steps, after(10))
        return NewPlan(rollout, name="launch")

    first, same, other = (
        apply_plan(of(condition), dry_run=False, by=ADMIN, store=store) for condition in (UNEDITED, UNEDITED, IF_ON)
    )

    assert (first.changed, same.changed, other.changed) == (True, False, True)
    assert (len(other.added), len(other.cancelled), len(other.kept)) == (1, 1, 0)
