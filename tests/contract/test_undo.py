"""Undo of each kind of entry and of plans, on every database: twice, against changes since, and in races."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.conditions import Condition
from flagsched.domain.durations import Duration
from flagsched.domain.errors import (
    AlreadyApplied,
    ChangedSince,
    EntryMissing,
    FlagExists,
    FlagMissing,
    Frozen,
    NothingToUndo,
    PlanMissing,
)
from flagsched.domain.flags import FlagEdit, FlagName
from flagsched.domain.history import Action, StoredEntry
from flagsched.domain.holds import NewHold
from flagsched.domain.overrides import NewOverride, OverrideChange, OverrideType
from flagsched.domain.plans import EffectivePlan, NewPlan, PlanStatus
from flagsched.domain.rollouts import Rollout, RolloutEnvironment, RolloutStep
from flagsched.domain.schedules import PlannedChange, Schedule, ScheduleEdit, Status
from flagsched.domain.updates import Updates
from flagsched.ports.history import HistoryQuery
from flagsched.ports.overrides import OverrideQuery
from flagsched.ports.schedules import ScheduleQuery
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.doctor import examine
from flagsched.usecases.flags import archive_flag, create_flag, edit_flag, read_flag
from flagsched.usecases.history import list_history
from flagsched.usecases.holds import hold_environment, hold_flag
from flagsched.usecases.overrides import list_overrides, remove_override, set_override
from flagsched.usecases.plans import create_plan, end_plan
from flagsched.usecases.schedules import cancel_schedule, edit_schedule, list_schedules, plan_schedules
from flagsched.usecases.timeline import read_timeline
from flagsched.usecases.undo import undo_entry, undo_plan
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_change, a_new_flag, after
from tests.contract.records import drain, named
from tests.rows import everything


@pytest.fixture(autouse=True)
def _flag(store: SqlStore) -> None:
    create_flag(a_new_flag(enabled=False, rollout_percentage=10, description="first"), by=ADMIN, store=store)


@pytest.fixture(autouse=True)
def _sound(_flag: None, store: SqlStore, clock: ManualClock) -> object:
    """After each test, all that is stored is as it must be."""
    yield
    found = examine(store, clock.at)
    assert [(one.check, one.examples) for one in found if not one.ok and one.check != "record"] == []


def edit(store: SqlStore, name: FlagName = CHECKOUT, description: str | None = None, **updates: Any) -> None:
    edit_flag(name, FlagEdit(Updates(**updates) if updates else None, description), by=ADMIN, store=store)


def entries(store: SqlStore) -> list[StoredEntry]:
    """Of all flags, newest first."""
    return list(list_history(HistoryQuery("production", limit=500), store=store).items)


def last(store: SqlStore, action: Action) -> StoredEntry:
    return next(one for one in entries(store) if one.action is action)


def undo(store: SqlStore, entry: StoredEntry, **how: Any) -> StoredEntry:
    return undo_entry(entry.name, entry.id, by=ADMIN, store=store, **how)


def seen(store: SqlStore, name: FlagName = CHECKOUT) -> tuple[bool, int, str]:
    flag = read_flag(name, store=store)
    return flag.state.enabled, flag.state.rollout_percentage, flag.flag.description


def users(store: SqlStore) -> dict[str, tuple[OverrideType, str]]:
    page = list_overrides(CHECKOUT, OverrideQuery(), store=store)
    return {one.user_id: (one.kind, one.reason) for one in page.items}


def schedules(store: SqlStore) -> list[Schedule]:
    return [one.schedule for one in list_schedules(CHECKOUT, ScheduleQuery(), store=store).items]


def plan(store: SqlStore, *changes: PlannedChange) -> list[Schedule]:
    return [one.schedule for one in plan_schedules(CHECKOUT, changes, batch=True, by=ADMIN, store=store)]


def test_an_edit_is_undone_and_the_undo_too(store: SqlStore) -> None:
    edit(store, description="second", enabled=True, rollout_percentage=50)
    edited = last(store, Action.FLAG_UPDATED)

    undone = undo(store, edited)
    back = seen(store)
    undo(store, undone)

    assert (undone.action, undone.undoes, undone.flag_version) == (Action.FLAG_UPDATED, edited.id, 3)
    assert back == (False, 10, "first")
    assert seen(store) == (True, 50, "second")


def test_an_undo_answers_its_own_entry_where_the_clock_was_set_back(store: SqlStore, clock: ManualClock) -> None:
    edit(store, rollout_percentage=50)
    edited = last(store, Action.FLAG_UPDATED)
    clock.at = after(100)
    plan(store, a_change(after(200)))
    clock.at = after(50)

    undone = undo(store, edited)

    assert (undone.action, undone.undoes) == (Action.FLAG_UPDATED, edited.id)
    assert entries(store)[0].action is Action.SCHEDULE_CREATED


def test_only_what_the_entry_changed_is_set_back(store: SqlStore) -> None:
    edit(store, rollout_percentage=50)
    edited = last(store, Action.FLAG_UPDATED)
    edit(store, description="later", enabled=True)

    undo(store, edited)

    assert seen(store) == (True, 10, "later")


def test_what_was_changed_since_is_set_back_by_force_alone(store: SqlStore, engine: sa.Engine) -> None:
    edit(store, enabled=True, rollout_percentage=50)
    edited = last(store, Action.FLAG_UPDATED)
    edit(store, rollout_percentage=60)
    before = everything(engine)

    with pytest.raises(ChangedSince) as refused:
        undo(store, edited)
    kept = everything(engine)
    undo(store, edited, force=True)

    assert refused.value.details == {"rolloutPercentage": {"then": 50, "before": 10, "now": 60}}
    assert kept == before
    assert seen(store) == (False, 10, "first")


def test_what_is_as_before_needs_no_undo(store: SqlStore) -> None:
    edit(store, rollout_percentage=50)
    edited = last(store, Action.FLAG_UPDATED)
    edit(store, rollout_percentage=10)
    edit(store, rollout_percentage=10)
    same = last(store, Action.FLAG_UPDATED)

    for entry in (edited, same):
        with pytest.raises(NothingToUndo):
            undo(store, entry)


def test_a_step_of_a_ramp_is_undone_before_it_is_recorded_by_a_worker(store: SqlStore, clock: ManualClock) -> None:
    plan(store, a_change(after(5), enabled=True, rollout_percentage=50), a_change(after(60), rollout_percentage=100))
    clock.at = after(10)
    edit(store, description="looks at it")  # Whoever writes records what is due.
    applied = last(store, Action.SCHEDULE_APPLIED)

    undo(store, applied)

    assert seen(store) == (False, 10, "looks at it")
    assert [one.status for one in schedules(store)] == [Status.APPLIED, Status.PENDING]
    clock.at = after(60)
    assert seen(store) == (False, 100, "looks at it")


def test_an_undo_sees_the_step_that_fell_due_just_before(store: SqlStore, clock: ManualClock) -> None:
    edit(store, rollout_percentage=20)
    edited = last(store, Action.FLAG_UPDATED)
    plan(store, a_change(after(5), rollout_percentage=50))
    clock.at = after(6)

    with pytest.raises(ChangedSince):
        undo(store, edited)


def test_overrides_are_set_back_with_their_reasons(store: SqlStore) -> None:
    set_override(CHECKOUT, NewOverride("ada", OverrideType.INCLUDE, "a tester"), by=ADMIN, store=store)
    included = last(store, Action.OVERRIDE_SET)
    set_override(CHECKOUT, NewOverride("ada", OverrideType.EXCLUDE, "complains"), by=ADMIN, store=store)
    excluded = last(store, Action.OVERRIDE_SET)

    undo(store, excluded)
    after_one = users(store)
    undone = undo(store, included)
    after_two = users(store)
    undo(store, undone)

    assert after_one == {"ada": (OverrideType.INCLUDE, "a tester")}
    assert (after_two, undone.action) == ({}, Action.OVERRIDE_REMOVED)
    assert users(store) == {"ada": (OverrideType.INCLUDE, "a tester")}
    remove_override(CHECKOUT, "ada", by=ADMIN, store=store)
    set_override(CHECKOUT, NewOverride("ada", OverrideType.EXCLUDE), by=ADMIN, store=store)
    with pytest.raises(ChangedSince) as refused:
        undo(store, included)
    assert refused.value.details == {"override": {"then": "include", "before": "remove", "now": "exclude"}}


def test_a_planned_override_is_set_back(store: SqlStore, clock: ManualClock, backoff: Backoff) -> None:
    plan(store, PlannedChange(after(5), OverrideChange("ada", OverrideType.INCLUDE)))
    clock.at = after(6)
    drain(store, backoff)

    undo(store, last(store, Action.SCHEDULE_APPLIED))

    assert users(store) == {}


def test_the_creation_of_a_schedule_is_undone_by_its_cancellation_and_that_by_another(
    store: SqlStore, clock: ManualClock
) -> None:
    condition = Condition(enabled=False)
    (planned,) = plan(store, PlannedChange(after(60), Updates(rollout_percentage=50, only_if=condition)))

    cancelled = undo(store, last(store, Action.SCHEDULE_CREATED))
    again = undo(store, cancelled)
    with pytest.raises(NothingToUndo):
        undo(store, cancelled)

    first, second = schedules(store)
    assert (cancelled.action, cancelled.schedule_id) == (Action.SCHEDULE_CANCELLED, planned.id)
    assert (again.action, again.undoes) == (Action.SCHEDULE_CREATED, cancelled.id)
    assert [first.status, second.status] == [Status.CANCELLED, Status.PENDING]
    assert (second.scheduled_at, second.updates, second.batch_id) == (after(60), planned.updates, planned.batch_id)
    clock.at = after(61)
    assert seen(store) == (False, 50, "first")


def test_a_cancellation_is_not_undone_once_its_instant_has_passed_or_into_a_plan_that_was_ended(
    store: SqlStore, clock: ManualClock
) -> None:
    one, other = plan(store, a_change(after(60)), a_change(after(90)))
    cancel_schedule(CHECKOUT, one.id, by=ADMIN, store=store)
    cancelled = last(store, Action.SCHEDULE_CANCELLED)
    assert one.batch_id
    end_plan(one.batch_id, by=ADMIN, store=store)
    ended = last(store, Action.SCHEDULE_CANCELLED)
    clock.at = after(70)

    with pytest.raises(NothingToUndo):
        undo(store, cancelled)
    undo(store, ended)

    assert ended.schedule_id == other.id
    assert [(s.status, s.batch_id) for s in schedules(store)][-1] == (Status.PENDING, None)


def test_what_is_in_effect_can_not_be_cancelled_by_an_undo(store: SqlStore, clock: ManualClock) -> None:
    plan(store, a_change(after(60)))
    clock.at = after(61)

    with pytest.raises(AlreadyApplied):
        undo(store, last(store, Action.SCHEDULE_CREATED))


def test_an_edit_of_a_schedule_is_undone_with_its_condition(store: SqlStore, clock: ManualClock) -> None:
    unedited = Condition(unedited=True)
    (planned,) = plan(store, PlannedChange(after(60), Updates(rollout_percentage=50, only_if=unedited)))
    change = ScheduleEdit(after(90), OverrideChange("ada", OverrideType.INCLUDE), sets_condition=True)
    edit_schedule(CHECKOUT, planned.id, change, by=ADMIN, store=store)
    edited = last(store, Action.SCHEDULE_UPDATED)

    undone = undo(store, edited)
    (back,) = schedules(store)
    undo(store, undone)
    (forth,) = schedules(store)
    clock.at = after(70)

    assert (back.scheduled_at, back.updates) == (after(60), Updates(rollout_percentage=50, only_if=unedited))
    assert (forth.scheduled_at, forth.updates) == (after(90), OverrideChange("ada", OverrideType.INCLUDE))
    with pytest.raises(NothingToUndo):
        undo(store, edited)


def test_a_schedule_that_was_edited_since_is_cancelled_by_force_alone(store: SqlStore) -> None:
    (planned,) = plan(store, a_change(after(60)))
    created = last(store, Action.SCHEDULE_CREATED)
    edit_schedule(CHECKOUT, planned.id, ScheduleEdit(after(90)), by=ADMIN, store=store)

    with pytest.raises(ChangedSince) as refused:
        undo(store, created)
    undo(store, created, force=True)

    assert refused.value.details is not None
    assert [*refused.value.details] == ["scheduledAt"]
    assert [one.status for one in schedules(store)] == [Status.CANCELLED]


def test_an_archived_flag_comes_back_as_it_was(
    store: SqlStore, clock: ManualClock, refresher: SnapshotRefresher
) -> None:
    edit(store, enabled=True)
    set_override(CHECKOUT, NewOverride("ada", OverrideType.EXCLUDE, "complains"), by=ADMIN, store=store)
    plan(store, a_change(after(60), enabled=False))
    before, everybody = read_flag(CHECKOUT, store=store).flag, evaluated(refresher)
    archive_flag(CHECKOUT, by=ADMIN, store=store)
    archived = last(store, Action.FLAG_ARCHIVED)
    clock.advance(seconds=5)
    assert evaluated(refresher) is None

    restored = undo(store, archived)
    clock.advance(seconds=5)

    flag = read_flag(CHECKOUT, store=store)
    assert (restored.action, restored.undoes, restored.flag_version) == (Action.FLAG_RESTORED, archived.id, 4)
    assert (flag.flag.id, seen(store)) == (before.id, (True, 10, "first"))
    assert users(store) == {"ada": (OverrideType.EXCLUDE, "complains")}
    assert [one.status for one in schedules(store)] == [Status.CANCELLED]
    assert evaluated(refresher) == everybody
    assert everybody is not None
    assert not everybody["ada"]
    with pytest.raises(NothingToUndo):
        undo(store, archived)
    undo(store, restored)
    with pytest.raises(FlagMissing):
        read_flag(CHECKOUT, store=store)


def evaluated(refresher: SnapshotRefresher) -> dict[str, object] | None:
    """For a hundred users and ada; None if there is no such flag."""
    refresher.refresh()
    flag = refresher.effective("production").flags.get(CHECKOUT.key)
    return {user: flag.evaluate(user).value for user in ("ada", *map(str, range(100)))} if flag else None


def test_an_archived_flag_does_not_come_back_while_another_has_its_key(store: SqlStore) -> None:
    edit(store, enabled=True)
    edited = last(store, Action.FLAG_UPDATED)
    archive_flag(CHECKOUT, by=ADMIN, store=store)
    archived = last(store, Action.FLAG_ARCHIVED)
    with pytest.raises(FlagMissing):
        undo(store, edited)
    create_flag(a_new_flag(), by=ADMIN, store=store)

    with pytest.raises(FlagExists):
        undo(store, archived)
    with pytest.raises(EntryMissing):
        undo(store, edited)


def test_two_restores_and_a_creation_at_once_leave_one_flag(store: SqlStore) -> None:
    archive_flag(CHECKOUT, by=ADMIN, store=store)
    archived = last(store, Action.FLAG_ARCHIVED)
    together = Barrier(3)

    def at_once(do: Callable[[], object]) -> str:
        together.wait(timeout=10)
        try:
            do()
        except (FlagExists, NothingToUndo) as refused:
            return refused.code
        return "done"

    with ThreadPoolExecutor(3) as threads:
        racing = [
            threads.submit(at_once, lambda: undo(store, archived)),
            threads.submit(at_once, lambda: undo(store, archived)),
            threads.submit(at_once, lambda: create_flag(a_new_flag(), by=ADMIN, store=store)),
        ]
        outcomes = sorted(one.result(timeout=20) for one in racing)

    assert outcomes[-1] == "done"
    assert outcomes.count("done") == 1
    assert read_flag(CHECKOUT, store=store).flag.name == CHECKOUT


def test_what_has_no_undo_says_what_to_do(store: SqlStore) -> None:
    hold_environment("production", NewHold("holidays"), by=ADMIN, store=store)

    with pytest.raises(NothingToUndo, match="archive the flag"):
        undo(store, last(store, Action.FLAG_CREATED))
    with pytest.raises(EntryMissing):
        undo_entry(CHECKOUT, last(store, Action.HOLD_PLACED).id, by=ADMIN, store=store)
    with pytest.raises(EntryMissing):
        undo_entry(CHECKOUT, 10**9, by=ADMIN, store=store)
    with pytest.raises(EntryMissing):
        undo_entry(named("another"), last(store, Action.FLAG_CREATED).id, by=ADMIN, store=store)


def test_a_freeze_refuses_an_undo_unless_somebody_says_why(store: SqlStore) -> None:
    edit(store, enabled=True)
    edited = last(store, Action.FLAG_UPDATED)
    hold_environment("production", NewHold("holidays", refuses_edits=True), by=ADMIN, store=store)

    with pytest.raises(Frozen):
        undo(store, edited)
    undone = undo(store, edited, override="the shop is down")

    assert undone.after is not None
    assert undone.after["despiteHold"]["reason"] == "the shop is down"


def a_plan_of_five(store: SqlStore, clock: ManualClock) -> EffectivePlan:
    """Of which two steps are in effect, and one is ahead."""
    keys = [f"flag-{n}" for n in range(5)]
    for n, key in enumerate(keys):
        create_flag(a_new_flag(key, rollout_percentage=n), by=ADMIN, store=store)
    steps = [
        RolloutStep(Updates(enabled=True, rollout_percentage=20)),
        RolloutStep(OverrideChange("ada", OverrideType.INCLUDE), Duration(seconds=1)),
        RolloutStep(Updates(rollout_percentage=50), Duration(seconds=10)),
        RolloutStep(Updates(rollout_percentage=100), Duration(seconds=100)),
    ]
    rollout = Rollout(keys, [RolloutEnvironment("production")], steps, after(5))
    created = create_plan(NewPlan(rollout, name="launch"), by=ADMIN, store=store).plan
    clock.at = after(30)
    return created


def test_a_plan_half_in_effect_is_undone_as_a_whole(store: SqlStore, clock: ManualClock) -> None:
    planned = a_plan_of_five(store, clock)

    undone = undo_plan(planned.plan.id, by=ADMIN, store=store)

    assert [seen(store, named(f"flag-{n}"))[:2] for n in range(5)] == [(False, n) for n in range(5)]
    assert (undone.progress.applied, undone.progress.cancelled, undone.progress.pending) == (15, 5, 0)
    assert undone.status is PlanStatus.CANCELLED
    page = list_overrides(named("flag-0"), OverrideQuery(), store=store)
    assert list(page.items) == []
    edits = [one for one in entries(store) if one.action is Action.FLAG_UPDATED]
    assert len(edits) == 5
    assert all(one.undoes for one in edits)
    clock.at = after(200)
    assert [seen(store, named(f"flag-{n}"))[:2] for n in range(5)] == [(False, n) for n in range(5)]
    with pytest.raises(NothingToUndo):
        undo_plan(planned.plan.id, by=ADMIN, store=store)
    undo(store, edits[-1])
    assert (True, 50) in [seen(store, named(f"flag-{n}"))[:2] for n in range(5)]


def test_a_plan_is_undone_as_a_whole_or_not_at_all(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    planned = a_plan_of_five(store, clock)
    edit(store, named("flag-3"), rollout_percentage=60)
    edit(store, named("flag-4"), description="another")
    before = everything(engine)

    with pytest.raises(ChangedSince) as refused:
        undo_plan(planned.plan.id, by=ADMIN, store=store)
    kept = everything(engine)
    undo_plan(planned.plan.id, by=ADMIN, store=store, force=True)

    assert refused.value.details == {"production/flag-3": {"rolloutPercentage": {"then": 50, "before": 3, "now": 60}}}
    assert kept == before
    assert [seen(store, named(f"flag-{n}"))[:2] for n in range(5)] == [(False, n) for n in range(5)]


def test_a_plan_of_which_nothing_is_in_effect_is_cancelled_by_its_undo(store: SqlStore) -> None:
    (planned,) = plan(store, a_change(after(60)))
    assert planned.batch_id

    undo_plan(planned.batch_id, by=ADMIN, store=store)

    assert [one.status for one in schedules(store)] == [Status.CANCELLED]
    with pytest.raises(PlanMissing):
        undo_plan(uuid4(), by=ADMIN, store=store)


def test_a_plan_is_undone_for_the_flags_that_are_left(store: SqlStore, clock: ManualClock) -> None:
    planned = a_plan_of_five(store, clock)
    archive_flag(named("flag-2"), by=ADMIN, store=store)

    undo_plan(planned.plan.id, by=ADMIN, store=store)

    assert [seen(store, named(f"flag-{n}"))[:2] for n in (0, 1, 3, 4)] == [(False, n) for n in (0, 1, 3, 4)]


def test_an_undo_and_an_edit_at_once_are_one_after_the_other(store: SqlStore) -> None:
    for turn in range(20):
        edit(store, rollout_percentage=20 + turn)
        edited = last(store, Action.FLAG_UPDATED)
        together = Barrier(2)

        def undo_it(entry: StoredEntry = edited, gate: Barrier = together) -> bool:
            gate.wait(timeout=10)
            try:
                undo(store, entry)
            except (ChangedSince, NothingToUndo):
                return False
            return True

        def edit_it(gate: Barrier = together) -> None:
            gate.wait(timeout=10)
            edit(store, rollout_percentage=77)

        with ThreadPoolExecutor(2) as threads:
            undoing, editing = threads.submit(undo_it), threads.submit(edit_it)
            editing.result(timeout=20)
            undone = undoing.result(timeout=20)

        assert seen(store)[1] == 77
        assert undone == any(one.undoes == edited.id for one in entries(store))


def test_the_undo_of_a_restore_is_refused_by_a_freeze_of_the_flag_itself(store: SqlStore, engine: sa.Engine) -> None:
    archive_flag(CHECKOUT, by=ADMIN, store=store)
    restored = undo(store, last(store, Action.FLAG_ARCHIVED))
    hold_flag(CHECKOUT, NewHold("it burns", refuses_edits=True), by=ADMIN, store=store)
    before = everything(engine)

    with pytest.raises(Frozen):
        undo(store, restored)
    kept = everything(engine)
    undone = undo(store, restored, override="it is gone for good")

    assert kept == before
    assert undone.after is not None
    assert undone.after["despiteHold"]["reason"] == "it is gone for good"


@pytest.mark.parametrize(
    ("edit", "changed"),
    [
        (ScheduleEdit(sets_condition=True), ["onlyIf"]),
        (ScheduleEdit(updates=OverrideChange("ada", OverrideType.INCLUDE)), ["updates", "override"]),
    ],
    ids=["without its condition", "for a user"],
)
def test_a_schedule_that_has_lost_what_it_was_created_with_was_changed_since(
    store: SqlStore, edit: ScheduleEdit, changed: list[str]
) -> None:
    (planned,) = plan(store, PlannedChange(after(60), Updates(enabled=True, only_if=Condition(enabled=False))))
    created = last(store, Action.SCHEDULE_CREATED)
    edit_schedule(CHECKOUT, planned.id, edit, by=ADMIN, store=store)

    with pytest.raises(ChangedSince) as refused:
        undo(store, created)

    assert refused.value.details is not None
    assert [*refused.value.details] == changed
    assert [one.status for one in schedules(store)] == [Status.PENDING]


def test_a_cancelled_schedule_is_planned_anew_once_even_by_force(store: SqlStore) -> None:
    (planned,) = plan(store, a_change(after(60)))
    cancel_schedule(CHECKOUT, planned.id, by=ADMIN, store=store)
    cancelled = last(store, Action.SCHEDULE_CANCELLED)
    undo(store, cancelled)

    with pytest.raises(NothingToUndo):
        undo(store, cancelled, force=True)

    assert [one.status for one in schedules(store)] == [Status.CANCELLED, Status.PENDING]


def test_an_edit_of_what_can_not_be_read_by_now_has_no_undo(store: SqlStore, engine: sa.Engine) -> None:
    (planned,) = plan(store, PlannedChange(after(60), Updates(enabled=True, only_if=Condition(enabled=False))))
    edit_schedule(CHECKOUT, planned.id, ScheduleEdit(sets_condition=True), by=ADMIN, store=store)
    edited = last(store, Action.SCHEDULE_UPDATED)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE feature_flag_schedules SET updates = '[]'")

    with pytest.raises(NothingToUndo, match="can't be read by now"):
        undo(store, edited)


def test_a_timeline_has_no_segment_for_the_time_in_which_a_flag_was_archived(
    store: SqlStore, clock: ManualClock
) -> None:
    clock.at = after(10)
    archive_flag(CHECKOUT, by=ADMIN, store=store)
    clock.at = after(20)
    undo(store, last(store, Action.FLAG_ARCHIVED))
    clock.at = after(30)
    edit(store, enabled=True)

    told = read_timeline(CHECKOUT, None, None, store=store).segments

    assert [(one.start, one.end, one.state.version) for one in told] == [
        (after(0), after(10), 1),
        (after(20), after(30), 3),
        (after(30), None, 4),
    ]
