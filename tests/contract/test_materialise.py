"""Writing down what is in effect, on every database: in order, once, in few statements, one flag's trouble its own."""

from dataclasses import replace

import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagEdit
from flagsched.domain.holds import NewHold
from flagsched.domain.schedules import Schedule, Status
from flagsched.domain.updates import Updates
from flagsched.ports.flags import FlagQuery
from flagsched.ports.schedules import ScheduleQuery
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.flags import create_flag, edit_flag, list_flags, read_flag
from flagsched.usecases.holds import hold_flag
from flagsched.usecases.materialise import Outlook, Recorded, look_ahead, materialise_due
from flagsched.usecases.schedules import cancel_schedule, list_schedules, plan_schedules
from flagsched.usecases.timeline import read_timeline
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_change, a_new_flag, a_state, after
from tests.contract.records import a_planned_flag, drain, named, run, told_now
from tests.recorder import recorded
from tests.rows import all_history, all_schedules, the_flag


def test_unordered_times_take_effect_in_order_of_time(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    a_planned_flag(store, "new-checkout", 50, 10, 40, 20, 30)
    clock.advance(minutes=5)

    drain(store, backoff)

    applied = [e for e in all_history(engine) if e.action == "schedule.applied"]
    assert [(e.effective_at, e.flag_version, e.after["rolloutPercentage"]) for e in applied] == [
        (after(10), 2, 10),
        (after(20), 3, 20),
        (after(30), 4, 30),
        (after(40), 5, 40),
        (after(50), 6, 50),
    ]
    assert [e.before["rolloutPercentage"] for e in applied] == [100, 10, 20, 30, 40]


def test_a_worker_records_what_a_hold_kept_at_its_end(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    a_planned_flag(store, "new-checkout", 10)
    hold_flag(CHECKOUT, NewHold("it burns", after(5), after(20)), by=ADMIN, store=store)

    clock.at = after(15)
    drain(store, backoff)
    kept = [one.status for one in all_schedules(engine)]
    clock.at = after(20)
    drain(store, backoff)

    assert kept == ["pending"]
    assert [one.status for one in all_schedules(engine)] == ["applied"]


def test_mixed_updates_leave_alone_what_they_do_not_set(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    create_flag(a_new_flag(rollout_percentage=0), by=ADMIN, store=store)
    changes = [
        a_change(after(1), enabled=True),
        a_change(after(2), rollout_percentage=25),
        a_change(after(3), enabled=False, rollout_percentage=50),
        a_change(after(4), enabled=True),
    ]
    plan_schedules(CHECKOUT, changes, batch=True, by=ADMIN, store=store)
    clock.advance(seconds=10)

    drain(store, backoff)

    states = [(e.after["enabled"], e.after["rolloutPercentage"]) for e in all_history(engine)[5:]]
    assert states == [(True, 0), (True, 25), (False, 50), (True, 50)]


def unrecorded(schedule: Schedule) -> Schedule:
    """The schedule without what its recording says."""
    return replace(schedule, status=Status.PENDING, applied_at=None, flag_version=None, status_reason=None)


def test_recording_changes_nothing_that_a_reader_sees(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    a_planned_flag(store, "new-checkout", 10, 20, 30)
    a_planned_flag(store, "other", 40)
    run(engine, "UPDATE feature_flag_schedules SET updates = '[]' WHERE seq = 2")
    clock.advance(seconds=25)

    def seen() -> list[object]:
        flags = list_flags(FlagQuery("production"), store=store).items
        schedules = list_schedules(CHECKOUT, ScheduleQuery(), store=store).items
        with engine.connect() as connection:
            revisions = connection.exec_driver_sql("SELECT name, revision FROM feature_flag_environments").all()
        return [
            revisions,
            told_now(store).tag,
            {
                key: (flag.evaluate("ada"), flag.version, flag.next_change_at)
                for key, flag in told_now(store).flags.items()
            },
            [(one.flag.name, one.flag.description, one.state, one.next_change_at) for one in flags],
            [(unrecorded(one.schedule), one.in_effect, one.error_message) for one in schedules],
            read_timeline(CHECKOUT, None, None, store=store),
        ]

    before = seen()
    materialized = read_flag(CHECKOUT, store=store).materialized

    drain(store, backoff)

    assert seen() == before
    assert (materialized, read_flag(CHECKOUT, store=store).materialized) == (False, True)


def test_a_recorded_schedule_says_when_it_was_recorded(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    a_planned_flag(store, "new-checkout", 10)
    clock.advance(seconds=25)

    drain(store, backoff)

    (schedule,) = all_schedules(engine)
    assert (schedule.status, schedule.applied_at, schedule.flag_version) == ("applied", after(25), 2)
    entry = all_history(engine)[-1]
    assert (entry.actor, entry.request_id, entry.effective_at, entry.recorded_at) == (
        "flagsched",
        None,
        after(10),
        after(25),
    )
    row = the_flag(engine)
    assert (row.version, row.changed_at, row.next_due_at) == (2, after(10), None)


def test_recording_raises_no_revision(store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff) -> None:
    a_planned_flag(store, "new-checkout", 10)
    before = the_flag(engine).revision
    clock.advance(seconds=10)

    drain(store, backoff)

    assert the_flag(engine).revision == before > 0


def test_bulk_and_single_schedules_end_alike(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    for key in ("in-bulk", "one-by-one"):
        create_flag(a_new_flag(key), by=ADMIN, store=store)
    changes = [a_change(after(s), rollout_percentage=s) for s in (30, 10, 20)]
    plan_schedules(named("in-bulk"), changes, batch=True, by=ADMIN, store=store)
    for change in changes:
        plan_schedules(named("one-by-one"), [change], batch=False, by=ADMIN, store=store)
    clock.advance(minutes=1)

    drain(store, backoff)

    def outcome(key: str) -> list[tuple[object, ...]]:
        return [
            (e.effective_at, e.recorded_at, e.flag_version, e.before, e.after, e.actor)
            for e in all_history(engine)
            if e.action == "schedule.applied" and e.flag_key == key
        ]

    assert outcome("in-bulk") == outcome("one-by-one")
    assert len(outcome("in-bulk")) == 3
    assert read_flag(named("in-bulk"), store=store).state == read_flag(named("one-by-one"), store=store).state


def test_what_is_cancelled_or_not_due_is_left_alone(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    a_planned_flag(store, "new-checkout", 10, 20, 30)
    second = list_schedules(CHECKOUT, ScheduleQuery(), store=store).items[1]
    cancel_schedule(CHECKOUT, second.schedule.id, by=ADMIN, store=store)
    clock.advance(seconds=25)

    drain(store, backoff)

    assert [s.status for s in all_schedules(engine)] == ["applied", "cancelled", "pending"]
    assert the_flag(engine).next_due_at == after(30)


def test_recording_takes_as_many_statements_for_many_as_for_one(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    a_planned_flag(store, "alone", 1)
    clock.advance(seconds=2)
    with recorded(engine) as for_one:
        assert materialise_due(store, backoff) == Recorded(1)
    for n in range(20):
        a_planned_flag(store, f"flag-{n}", *range(3, 43))
    clock.advance(minutes=2)

    with recorded(engine) as for_many:
        assert materialise_due(store, backoff) == Recorded(20)

    assert len(for_many) == len(for_one)
    assert [s.split("(")[0] for s in for_many] == [s.split("(")[0] for s in for_one]


def test_several_overdue_schedules_are_one_write_of_the_flag(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    a_planned_flag(store, "new-checkout", *range(1, 51))
    clock.advance(minutes=5)

    with recorded(engine) as statements:
        drain(store, backoff)

    assert sum(s.startswith("UPDATE feature_flags ") for s in statements) == 1
    assert sum("UPDATE feature_flag_schedules " in s for s in statements) == 1
    assert sum(e.action == "schedule.applied" for e in all_history(engine)) == 50


def test_a_transaction_is_bounded_by_schedules_but_leaves_none_behind(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    for n in range(5):
        create_flag(a_new_flag(f"flag-{n}"), by=ADMIN, store=store)
        for hundred in range(6):
            changes = [a_change(after(1 + hundred * 50 + s), rollout_percentage=s) for s in range(50)]
            plan_schedules(named(f"flag-{n}"), changes, batch=True, by=ADMIN, store=store)
    clock.advance(hours=1)

    flags, _ = drain(store, backoff)

    assert flags == [3, 2]
    assert {s.status for s in all_schedules(engine)} == {"applied"}


def test_looking_ahead_tells_the_earliest_plan_of_all(store: SqlStore, clock: ManualClock, backoff: Backoff) -> None:
    assert look_ahead(store, backoff).due_at is None

    a_planned_flag(store, "a", 30)
    a_planned_flag(store, "b", 20, 40)

    assert look_ahead(store, backoff) == Outlook(clock(), after(20))


def test_an_edit_between_two_steps_stands_until_the_next(store: SqlStore, clock: ManualClock, backoff: Backoff) -> None:
    a_planned_flag(store, "new-checkout", 10, 30)
    clock.advance(seconds=20)
    edit_flag(CHECKOUT, FlagEdit(Updates(enabled=True, rollout_percentage=77)), by=ADMIN, store=store)
    clock.advance(seconds=20)

    drain(store, backoff)

    assert read_flag(CHECKOUT, store=store).state == a_state(
        enabled=True, percentage=30, version=4, changed_at=after(30)
    )
