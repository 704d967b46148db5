"""Changes of a plan that its instant overtakes, on PostgreSQL: never both accepted and seen in effect."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from threading import Event, Thread
from time import monotonic

import pytest
import sqlalchemy as sa

from flagsched.database.connections.listen import MISSED, listen
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.durations import Duration
from flagsched.domain.effective import EffectiveSchedule
from flagsched.domain.errors import (
    AlreadyApplied,
    ChangedSince,
    InstantsRefused,
    Overtaken,
)
from flagsched.domain.flags import FlagEdit
from flagsched.domain.holds import NewHold
from flagsched.domain.plans import PlanEdit
from flagsched.domain.schedules import PlannedChange, ScheduleEdit
from flagsched.domain.updates import Updates
from flagsched.ports.schedules import ScheduleQuery
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.flags import archive_flag, create_flag, edit_flag, read_flag
from flagsched.usecases.holds import EffectiveHold, hold_environment, hold_flag, release_hold
from flagsched.usecases.materialise import materialise_due
from flagsched.usecases.plans import create_plan, edit_plan, end_plan, read_plan
from flagsched.usecases.schedules import cancel_schedule, edit_schedule, list_schedules, plan_schedules
from flagsched.usecases.undo import undo_entry
from tests.builders import ADMIN, CHECKOUT, a_new_flag
from tests.contract.postgresql.lock_waits import plan, soon, waiting_for_locks
from tests.plans import rollout
from tests.processes import until
from tests.rows import all_history, all_schedules


def held_up_over(
    at: datetime,
    store: SqlStore,
    engine: sa.Engine,
    begin: Callable[[], "Future[object]"],
    seen_meanwhile: tuple[bool, int] = (True, 2),
) -> "Future[object]":
    """Let a writer take the flag's lock and look at the clock, and then keep it waiting until `at` has passed.

    Readers see the flag so meanwhile: on or off, in this version.
    """
    with engine.begin() as somebody:
        somebody.exec_driver_sql("SELECT 1 FROM feature_flag_environments FOR UPDATE")
        held_up = begin()
        until(lambda: waiting_for_locks(engine) == 1)
        until(lambda: soon(store, 0) > at)
        seen = read_flag(CHECKOUT, store=store).state
        assert (seen.enabled, seen.version) == seen_meanwhile
    return held_up


def told(engine: sa.Engine) -> list[tuple[str, int]]:
    return [(e.action, e.flag_version) for e in all_history(engine)]


FREEZE = NewHold("holidays", refuses_edits=True)
CREATED = [("flag.created", 1), ("schedule.created", 1)]


def test_a_cancel_that_is_held_up_over_its_instant_is_refused(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.6)
    plan(store, at)
    (planned,) = all_schedules(engine)

    cancelling = held_up_over(
        at, store, engine, lambda: in_background(cancel_schedule, CHECKOUT, planned.id, by=ADMIN, store=store)
    )

    with pytest.raises(AlreadyApplied):
        cancelling.result(timeout=5)
    assert told(engine) == [*CREATED, ("schedule.applied", 2)]
    assert [s.status for s in all_schedules(engine)] == ["applied"]


def test_a_hold_that_is_held_up_over_an_instant_begins_after_it(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.6)
    plan(store, at, at + timedelta(seconds=0.1))

    placed = held_up_over(
        at, store, engine, lambda: in_background(hold_flag, CHECKOUT, NewHold("it burns"), by=ADMIN, store=store)
    ).result(timeout=5)

    assert isinstance(placed, EffectiveHold)
    assert placed.hold.starts_at >= at
    assert [action for action, _ in told(engine)] == [
        *["flag.created", "schedule.created", "schedule.created"], *["schedule.applied", "hold.placed"],
    ]  # fmt: skip
    assert [s.status for s in all_schedules(engine)] == ["applied", "pending"]


def test_a_freeze_that_is_held_up_over_an_instant_begins_after_it(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.6)
    plan(store, at)

    placed = held_up_over(
        at, store, engine, lambda: in_background(hold_environment, "production", FREEZE, by=ADMIN, store=store)
    ).result(timeout=5)

    assert isinstance(placed, EffectiveHold)
    assert placed.hold.starts_at >= at
    assert [s.status for s in all_schedules(engine)] == ["applied"]


def test_a_release_that_is_held_up_over_an_instant_ends_the_hold_after_it(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.6)
    plan(store, at)
    hold = hold_flag(CHECKOUT, NewHold("it burns"), by=ADMIN, store=store).hold

    begin = lambda: in_background(release_hold, hold.id, by=ADMIN, store=store)  # noqa: E731
    released = held_up_over(at, store, engine, begin, seen_meanwhile=(False, 1)).result(timeout=5)

    assert isinstance(released, EffectiveHold)
    assert released.hold.ends_at is not None
    assert released.hold.ends_at >= at
    applied = [entry for entry in all_history(engine) if entry.action == "schedule.applied"]
    assert [entry.effective_at for entry in applied] == [released.hold.ends_at]


def test_an_undo_that_is_held_up_over_an_instant_sees_what_came(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.8)
    edit_flag(CHECKOUT, FlagEdit(Updates(rollout_percentage=7)), by=ADMIN, store=store)
    edited = all_history(engine)[-1]
    plan_schedules(CHECKOUT, [PlannedChange(at, Updates(True, 50))], batch=False, by=ADMIN, store=store)

    begin = lambda: in_background(undo_entry, CHECKOUT, edited.id, by=ADMIN, store=store)  # noqa: E731
    undoing = held_up_over(at, store, engine, begin, seen_meanwhile=(True, 3))

    with pytest.raises(ChangedSince) as refused:
        undoing.result(timeout=5)
    assert refused.value.details == {"rolloutPercentage": {"then": 7, "before": 100, "now": 50}}


def test_an_edit_that_is_held_up_over_an_instant_comes_after_it(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.6)
    plan(store, at)
    edit = FlagEdit(Updates(rollout_percentage=7))

    held_up_over(at, store, engine, lambda: in_background(edit_flag, CHECKOUT, edit, by=ADMIN, store=store)).result(
        timeout=5
    )

    now = read_flag(CHECKOUT, store=store).state
    assert (now.enabled, now.rollout_percentage, now.version) == (True, 7, 3)
    assert told(engine) == [*CREATED, ("schedule.applied", 2), ("flag.updated", 3)]


def test_an_archive_that_is_held_up_over_an_instant_cancels_only_the_rest(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.6)
    plan(store, at, at + timedelta(minutes=1))

    held_up_over(at, store, engine, lambda: in_background(archive_flag, CHECKOUT, by=ADMIN, store=store)).result(
        timeout=5
    )

    assert [s.status for s in all_schedules(engine)] == ["applied", "cancelled"]
    assert told(engine)[3:] == [("schedule.applied", 2), ("schedule.cancelled", 2), ("flag.archived", 3)]


def test_a_plan_that_is_held_up_over_its_instant_is_refused(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.6)
    plan(store, at)

    planning = held_up_over(at, store, engine, lambda: in_background(plan, store, at - timedelta(milliseconds=1)))

    with pytest.raises(InstantsRefused):
        planning.result(timeout=5)
    assert len(all_schedules(engine)) == 1


def test_what_is_overtaken_again_and_again_is_busy(store: SqlStore, engine: sa.Engine) -> None:
    with engine.begin() as somebody:
        somebody.exec_driver_sql("UPDATE feature_flags SET next_due_at = now() + interval '1 hour'")
        somebody.exec_driver_sql(
            "CREATE FUNCTION overtake() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
        )
        somebody.exec_driver_sql(
            "CREATE TRIGGER overtake BEFORE UPDATE ON feature_flags FOR EACH ROW EXECUTE FUNCTION overtake()"
        )

    with pytest.raises(Overtaken):
        edit_flag(CHECKOUT, FlagEdit(description="x"), by=ADMIN, store=store)


def test_cancels_and_recordings_at_the_same_instant_agree(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    begin = soon(store, 0.3)
    plan(store, *(begin + timedelta(milliseconds=10 * n) for n in range(40)))
    planned = all_schedules(engine)

    def record_for_a_while() -> None:
        while soon(store, 0) < begin + timedelta(seconds=0.8):
            materialise_due(store, Backoff(monotonic))

    def cancel_each() -> list[bool]:
        answers = []
        for schedule in planned:
            just_before = schedule.scheduled_at - timedelta(milliseconds=3)
            until(lambda: soon(store, 0) >= just_before)  # noqa: B023 - called at once
            try:
                cancel_schedule(CHECKOUT, schedule.id, by=ADMIN, store=store)
                answers.append(True)
            except AlreadyApplied:
                answers.append(False)
        return answers

    recording = in_background(record_for_a_while)
    answers = cancel_each()
    recording.result(timeout=10)

    assert [s.status for s in all_schedules(engine)] == ["cancelled" if yes else "applied" for yes in answers]
    applied = [e for e in all_history(engine) if e.action == "schedule.applied"]
    assert [e.flag_version for e in applied] == list(range(2, 2 + answers.count(False)))
    assert [e.effective_at for e in applied] == sorted(e.effective_at for e in applied)


def edited_to(store: SqlStore, at: datetime) -> "EffectiveSchedule":
    (planned,) = plan_of(store)
    return edit_schedule(CHECKOUT, planned.schedule.id, ScheduleEdit(at), by=ADMIN, store=store)


def plan_of(store: SqlStore) -> Sequence[EffectiveSchedule]:
    return list_schedules(CHECKOUT, ScheduleQuery(), store=store).items


def test_a_reschedule_that_is_held_up_over_the_old_instant_is_refused(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.6)
    plan(store, at)

    editing = held_up_over(at, store, engine, lambda: in_background(edited_to, store, at + timedelta(minutes=1)))

    with pytest.raises(AlreadyApplied):
        editing.result(timeout=5)
    assert told(engine) == [*CREATED, ("schedule.applied", 2)]


def test_a_reschedule_that_is_held_up_over_the_new_instant_is_refused(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.6)
    plan(store, at + timedelta(minutes=1))
    with engine.begin() as somebody:
        somebody.exec_driver_sql("SELECT 1 FROM feature_flag_environments FOR UPDATE")
        editing = in_background(edited_to, store, at)
        until(lambda: waiting_for_locks(engine) == 1)
        until(lambda: soon(store, 0) > at)
        assert not read_flag(CHECKOUT, store=store).state.enabled

    with pytest.raises(InstantsRefused):
        editing.result(timeout=5)
    assert [s.scheduled_at for s in all_schedules(engine)] == [at + timedelta(minutes=1)]
    assert told(engine) == CREATED


def test_a_worker_hears_of_a_schedule_that_is_brought_forward(store: SqlStore, engine: sa.Engine) -> None:
    plan(store, soon(store, 600))
    heard: list[datetime | None] = []
    stopped = Event()
    listening = Thread(target=listen, args=(engine, heard.append, stopped), daemon=True)
    listening.start()
    until(lambda: heard == [MISSED])

    at = soon(store, 60)
    edited_to(store, at)

    until(lambda: heard == [MISSED, at])
    stopped.set()
    listening.join()


def test_a_shift_that_is_held_up_over_a_step_moves_nothing(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.6)
    plan(store, at, at + timedelta(minutes=1))
    (first, _) = all_schedules(engine)
    shift = PlanEdit(title="moved", shift=Duration(seconds=3600))

    shifting = held_up_over(
        at, store, engine, lambda: in_background(edit_plan, first.batch_id, shift, by=ADMIN, store=store)
    )

    with pytest.raises(AlreadyApplied, match=str(first.id)):
        shifting.result(timeout=5)
    assert [(s.status, s.scheduled_at) for s in all_schedules(engine)] == [
        ("applied", at),
        ("pending", at + timedelta(minutes=1)),
    ]
    assert told(engine) == [*CREATED, ("schedule.created", 1), ("schedule.applied", 2)]
    seen = read_plan(first.batch_id, store=store)
    assert (seen.plan.title, seen.plan.version) == ("", 1)


def test_an_end_of_a_plan_that_is_held_up_over_a_step_cancels_only_the_rest(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.6)
    plan(store, at, at + timedelta(minutes=1))
    (first, _) = all_schedules(engine)

    held_up_over(at, store, engine, lambda: in_background(end_plan, first.batch_id, by=ADMIN, store=store)).result(
        timeout=5
    )

    assert [s.status for s in all_schedules(engine)] == ["applied", "cancelled"]
    assert read_plan(first.batch_id, store=store).progress.cancelled == 1


def test_a_plan_over_two_flags_that_its_first_step_overtakes_is_refused_whole(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    create_flag(a_new_flag("other"), by=ADMIN, store=store)
    at = soon(store, 0.6)
    plan(store, at)
    asked = rollout(["new-checkout", "other"], 10, 20, start=at - timedelta(milliseconds=1), every=60)

    creating = held_up_over(at, store, engine, lambda: in_background(create_plan, asked, by=ADMIN, store=store))

    with pytest.raises(InstantsRefused):
        creating.result(timeout=5)
    assert len(all_schedules(engine)) == 1
