"""Changing one's mind about a schedule, on every database: until its instant, and not after."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.effective import EffectiveSchedule
from flagsched.domain.errors import (
    AlreadyApplied,
    AlreadyCancelled,
    AlreadyFailed,
    InstantsRefused,
    ScheduleMissing,
)
from flagsched.domain.history import Actor
from flagsched.domain.limits import ScheduleLimits
from flagsched.domain.schedules import ScheduleEdit
from flagsched.domain.updates import Updates
from flagsched.usecases.flags import create_flag, read_flag
from flagsched.usecases.schedules import cancel_schedule, edit_schedule, plan_schedules, read_schedule
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_change, a_new_flag, after
from tests.recorder import recorded
from tests.rows import all_history, all_schedules, the_flag

BOB = Actor("bob", "request-2")


@pytest.fixture(autouse=True)
def _a_flag(store: SqlStore) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)


def plan(store: SqlStore, *seconds: float) -> list[UUID]:
    changes = [a_change(after(s), rollout_percentage=int(s)) for s in seconds]
    return [s.schedule.id for s in plan_schedules(CHECKOUT, changes, batch=True, by=ADMIN, store=store)]


def edit(store: SqlStore, schedule_id: UUID, to: ScheduleEdit) -> EffectiveSchedule:
    return edit_schedule(CHECKOUT, schedule_id, to, by=BOB, store=store)


def test_a_rescheduled_change_takes_effect_at_the_new_instant_only(
    store: SqlStore, clock: ManualClock, engine: sa.Engine
) -> None:
    (planned,) = plan(store, 10)

    edit(store, planned, ScheduleEdit(after(30)))

    assert the_flag(engine).next_due_at == after(30)
    clock.at = after(29.999)
    assert read_flag(CHECKOUT, store=store).state.version == 1
    clock.at = after(30)
    assert read_flag(CHECKOUT, store=store).state.rollout_percentage == 10


def test_a_schedule_may_be_brought_forward(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    _, late = plan(store, 10, 30)

    edit(store, late, ScheduleEdit(after(5)))

    assert the_flag(engine).next_due_at == after(5)
    clock.at = after(12)
    assert read_flag(CHECKOUT, store=store).state.rollout_percentage == 10


def test_other_updates_replace_the_old_ones_as_a_whole(store: SqlStore, clock: ManualClock) -> None:
    (planned,) = plan(store, 10)

    edit(store, planned, ScheduleEdit(updates=Updates(enabled=True)))

    clock.at = after(10)
    state = read_flag(CHECKOUT, store=store).state
    assert (state.enabled, state.rollout_percentage) == (True, 100)


def test_an_edit_of_a_schedule_is_told_and_kept_with_what_was_before(
    store: SqlStore, clock: ManualClock, engine: sa.Engine
) -> None:
    (planned,) = plan(store, 10)
    before = read_schedule(CHECKOUT, planned, store=store)
    clock.advance(seconds=3)

    edited = edit(store, planned, ScheduleEdit(after(20), Updates(enabled=True)))

    assert read_schedule(CHECKOUT, planned, store=store).schedule == edited.schedule
    assert (edited.schedule.seq, edited.schedule.created_at) == (before.schedule.seq, before.schedule.created_at)
    assert (edited.schedule.scheduled_at, edited.schedule.updated_at) == (after(20), after(3))
    entry = all_history(engine)[-1]
    assert (entry.action, entry.actor, entry.request_id, entry.flag_version) == (
        "schedule.updated",
        "bob",
        "request-2",
        1,
    )
    assert entry.before == {
        "scheduledAt": "2096-06-01T12:00:10Z",
        "updates": {"rolloutPercentage": 10},
        "status": "pending",
    }
    assert entry.after == {
        "scheduledAt": "2096-06-01T12:00:20Z",
        "updates": {"enabled": True},
        "status": "pending",
    }


def test_a_rescheduled_change_keeps_its_number_and_so_its_place_on_a_tie(store: SqlStore, clock: ManualClock) -> None:
    first, _ = plan(store, 10, 20)

    edit(store, first, ScheduleEdit(after(20)))

    clock.at = after(20)
    assert read_flag(CHECKOUT, store=store).state.rollout_percentage == 20


def test_what_is_in_effect_cannot_be_edited(store: SqlStore, clock: ManualClock) -> None:
    (planned,) = plan(store, 10)
    clock.at = after(10)

    with pytest.raises(AlreadyApplied):
        edit(store, planned, ScheduleEdit(after(30)))

    assert read_flag(CHECKOUT, store=store).materialized


def test_what_has_ended_cannot_be_edited(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    cancelled, unreadable = plan(store, 10, 20)
    cancel_schedule(CHECKOUT, cancelled, by=ADMIN, store=store)
    with engine.begin() as somebody:
        somebody.exec_driver_sql("UPDATE feature_flag_schedules SET updates = '[]' WHERE status = 'pending'")
    clock.at = after(20)

    with pytest.raises(AlreadyCancelled):
        edit(store, cancelled, ScheduleEdit(after(30)))
    with pytest.raises(AlreadyFailed):
        edit(store, unreadable, ScheduleEdit(after(30)))


def test_an_unreadable_schedule_is_mended_by_new_updates(
    store: SqlStore, clock: ManualClock, engine: sa.Engine
) -> None:
    (planned,) = plan(store, 10)
    with engine.begin() as somebody:
        somebody.exec_driver_sql("UPDATE feature_flag_schedules SET updates = '[]'")
    assert read_schedule(CHECKOUT, planned, store=store).error_message == "updates are not a JSON object"

    mended = edit(store, planned, ScheduleEdit(updates=Updates(enabled=True)))

    assert mended.error_message is None
    clock.at = after(10)
    assert read_flag(CHECKOUT, store=store).state.enabled


def test_an_unreadable_schedule_may_be_given_another_instant(
    store: SqlStore, clock: ManualClock, engine: sa.Engine
) -> None:
    (planned,) = plan(store, 10)
    with engine.begin() as somebody:
        somebody.exec_driver_sql("UPDATE feature_flag_schedules SET updates = '[7]'")

    moved = edit(store, planned, ScheduleEdit(after(30)))

    assert moved.error_message == "updates are not a JSON object"
    with engine.connect() as connection:
        kept = connection.exec_driver_sql("SELECT CAST(updates AS text) FROM feature_flag_schedules").scalar_one()
    assert kept == "[7]"
    clock.at = after(29)
    assert read_flag(CHECKOUT, store=store).materialized


@pytest.mark.parametrize("at", [after(-1), after(5), after(5) + timedelta(days=366, milliseconds=1)])
def test_the_new_instant_is_judged_like_that_of_a_new_schedule(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, at: datetime
) -> None:
    (planned,) = plan(store, 10)
    clock.at = after(5)

    with pytest.raises(InstantsRefused):
        edit(store, planned, ScheduleEdit(at))

    assert [s.scheduled_at for s in all_schedules(engine)] == [after(10)]


def test_a_schedule_that_lies_too_far_ahead_by_now_may_keep_its_instant(store: SqlStore) -> None:
    (planned,) = plan(store, 10)

    strict = ScheduleLimits(horizon=timedelta(seconds=1))
    edit_schedule(CHECKOUT, planned, ScheduleEdit(updates=Updates(enabled=True)), by=BOB, store=store, limits=strict)

    assert read_schedule(CHECKOUT, planned, store=store).schedule.updates == Updates(enabled=True)


def test_a_schedule_that_does_not_exist_is_missing(store: SqlStore) -> None:
    with pytest.raises(ScheduleMissing):
        edit(store, uuid4(), ScheduleEdit(after(30)))


def test_an_edit_of_a_schedule_takes_as_many_statements_among_many_as_alone(store: SqlStore, engine: sa.Engine) -> None:
    (alone,) = plan(store, 10)
    with recorded(engine) as few:
        edit(store, alone, ScheduleEdit(after(11)))
    plan(store, *range(20, 70))

    with recorded(engine) as many:
        edit(store, alone, ScheduleEdit(after(12)))

    assert len(many) == len(few) <= 12
