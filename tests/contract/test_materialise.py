"""Writing down what is in effect, on every database: in order, once, in few statements, one flag's trouble its own."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from flagsched.database.tables import flags as flags_table
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import StatementFailed
from flagsched.domain.flags import FlagEdit, FlagName
from flagsched.domain.schedules import Status
from flagsched.domain.updates import Updates
from flagsched.ports import FlagQuery, ScheduleQuery
from flagsched.usecases.evaluation import evaluate_flags
from flagsched.usecases.flags import create_flag, edit_flag, list_flags, read_flag
from flagsched.usecases.materialise import (
    Outlook,
    Recorded,
    Setback,
    Setbacks,
    look_ahead,
    materialise_alone,
    materialise_due,
)
from flagsched.usecases.schedules import cancel_schedule, list_schedules, plan_schedules
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_change, a_new_flag, a_state, after
from tests.recorder import recorded
from tests.rows import all_history, all_schedules, the_flag


@pytest.fixture
def setbacks(clock: ManualClock) -> Setbacks:
    return Setbacks(lambda: clock().timestamp())


def drain(store: SqlStore, setbacks: Setbacks) -> tuple[list[int], list[Setback]]:
    """Materialise until nothing is due; give how many flags each transaction recorded, and what failed."""
    flags, failed = [], []
    while (recorded := materialise_due(store, setbacks)) != Recorded():
        flags.append(recorded.flags)
        failed += [s for flag_id in recorded.failed if (s := materialise_alone(store, flag_id, setbacks))]
    return flags, failed


def named(key: str) -> FlagName:
    return FlagName("production", key)


def run(engine: sa.Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def a_planned_flag(store: SqlStore, key: str, *seconds: float) -> None:
    create_flag(a_new_flag(key), by=ADMIN, store=store)
    changes = [a_change(after(s), rollout_percentage=int(s) % 101) for s in seconds]
    plan_schedules(named(key), changes, batch=True, by=ADMIN, store=store)


def test_unordered_times_take_effect_in_order_of_time(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, setbacks: Setbacks
) -> None:
    a_planned_flag(store, "new-checkout", 50, 10, 40, 20, 30)
    clock.advance(minutes=5)

    drain(store, setbacks)

    applied = [e for e in all_history(engine) if e.action == "schedule.applied"]
    assert [(e.effective_at, e.flag_version, e.after["rolloutPercentage"]) for e in applied] == [
        (after(10), 2, 10),
        (after(20), 3, 20),
        (after(30), 4, 30),
        (after(40), 5, 40),
        (after(50), 6, 50),
    ]
    assert [e.before["rolloutPercentage"] for e in applied] == [100, 10, 20, 30, 40]


def test_mixed_updates_leave_alone_what_they_do_not_set(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, setbacks: Setbacks
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

    drain(store, setbacks)

    states = [(e.after["enabled"], e.after["rolloutPercentage"]) for e in all_history(engine)[5:]]
    assert states == [(True, 0), (True, 25), (False, 50), (True, 50)]


def test_recording_changes_nothing_that_a_reader_sees(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, setbacks: Setbacks
) -> None:
    a_planned_flag(store, "new-checkout", 10, 20, 30)
    a_planned_flag(store, "other", 40)
    clock.advance(seconds=25)

    def seen() -> list[object]:
        flags = list_flags(FlagQuery("production"), store=store).items
        schedules = list_schedules(CHECKOUT, ScheduleQuery(), store=store).items
        with engine.connect() as connection:
            revisions = connection.exec_driver_sql("SELECT name, revision FROM feature_flag_environments").all()
        return [
            revisions,
            evaluate_flags("production", store=store),
            [(one.flag.name, one.flag.description, one.state, one.next_change_at) for one in flags],
            [(one.schedule.id, one.schedule.scheduled_at, one.schedule.updates, one.in_effect) for one in schedules],
        ]

    before = seen()
    materialized = read_flag(CHECKOUT, store=store).materialized

    drain(store, setbacks)

    assert seen() == before
    assert (materialized, read_flag(CHECKOUT, store=store).materialized) == (False, True)


def test_a_recorded_schedule_says_when_it_was_recorded(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, setbacks: Setbacks
) -> None:
    a_planned_flag(store, "new-checkout", 10)
    clock.advance(seconds=25)

    drain(store, setbacks)

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


def test_recording_raises_no_revision(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, setbacks: Setbacks
) -> None:
    a_planned_flag(store, "new-checkout", 10)
    before = the_flag(engine).revision
    clock.advance(seconds=10)

    drain(store, setbacks)

    assert the_flag(engine).revision == before > 0


def test_bulk_and_single_schedules_end_alike(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, setbacks: Setbacks
) -> None:
    for key in ("in-bulk", "one-by-one"):
        create_flag(a_new_flag(key), by=ADMIN, store=store)
    changes = [a_change(after(s), rollout_percentage=s) for s in (30, 10, 20)]
    plan_schedules(named("in-bulk"), changes, batch=True, by=ADMIN, store=store)
    for change in changes:
        plan_schedules(named("one-by-one"), [change], batch=False, by=ADMIN, store=store)
    clock.advance(minutes=1)

    drain(store, setbacks)

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
    store: SqlStore, clock: ManualClock, engine: sa.Engine, setbacks: Setbacks
) -> None:
    a_planned_flag(store, "new-checkout", 10, 20, 30)
    second = list_schedules(CHECKOUT, ScheduleQuery(), store=store).items[1]
    cancel_schedule(CHECKOUT, second.schedule.id, by=ADMIN, store=store)
    clock.advance(seconds=25)

    drain(store, setbacks)

    assert [s.status for s in all_schedules(engine)] == ["applied", "cancelled", "pending"]
    assert the_flag(engine).next_due_at == after(30)


def test_recording_takes_as_many_statements_for_many_as_for_one(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, setbacks: Setbacks
) -> None:
    a_planned_flag(store, "alone", 1)
    clock.advance(seconds=2)
    with recorded(engine) as for_one:
        assert materialise_due(store, setbacks) == Recorded(1)
    for n in range(20):
        a_planned_flag(store, f"flag-{n}", *range(3, 43))
    clock.advance(minutes=2)

    with recorded(engine) as for_many:
        assert materialise_due(store, setbacks) == Recorded(20)

    assert len(for_many) == len(for_one)
    assert [s.split("(")[0] for s in for_many] == [s.split("(")[0] for s in for_one]


def test_several_overdue_schedules_are_one_write_of_the_flag(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, setbacks: Setbacks
) -> None:
    a_planned_flag(store, "new-checkout", *range(1, 51))
    clock.advance(minutes=5)

    with recorded(engine) as statements:
        drain(store, setbacks)

    assert sum(s.startswith("UPDATE feature_flags ") for s in statements) == 1
    assert sum(s.startswith("UPDATE feature_flag_schedules ") for s in statements) == 1
    assert sum(e.action == "schedule.applied" for e in all_history(engine)) == 50


def test_a_transaction_is_bounded_by_schedules_but_leaves_none_behind(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, setbacks: Setbacks
) -> None:
    for n in range(5):
        create_flag(a_new_flag(f"flag-{n}"), by=ADMIN, store=store)
        for hundred in range(6):
            changes = [a_change(after(1 + hundred * 50 + s), rollout_percentage=s) for s in range(50)]
            plan_schedules(named(f"flag-{n}"), changes, batch=True, by=ADMIN, store=store)
    clock.advance(hours=1)

    flags, _ = drain(store, setbacks)

    assert flags == [3, 2]
    assert {s.status for s in all_schedules(engine)} == {"applied"}


def test_an_unreadable_schedule_is_marked_failed_with_the_reason(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, setbacks: Setbacks
) -> None:
    a_planned_flag(store, "new-checkout", 10, 20)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE feature_flag_schedules SET updates = '{\"enabled\": 7}' WHERE seq = 1")
    clock.advance(seconds=30)

    drain(store, setbacks)

    bad, good = all_schedules(engine)
    assert (bad.status, bad.error_message, bad.flag_version) == ("failed", "enabled is not a boolean", None)
    assert (good.status, good.flag_version) == ("applied", 2)
    assert [e.action for e in all_history(engine)[3:]] == ["schedule.failed", "schedule.applied"]


REFUSE_ONE_FLAG = {
    "sqlite": [
        """CREATE TRIGGER refuse BEFORE INSERT ON feature_flag_history
           WHEN NEW.action = 'schedule.applied' AND NEW.flag_key = 'bad'
           BEGIN SELECT RAISE(ABORT, 'not this one'); END"""
    ],
    "postgresql": [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$",
        """CREATE TRIGGER refuse BEFORE INSERT ON feature_flag_history FOR EACH ROW
           WHEN (NEW.action = 'schedule.applied' AND NEW.flag_key = 'bad') EXECUTE FUNCTION refuse()""",
    ],
}
ACCEPT_AGAIN = {
    "sqlite": "DROP TRIGGER refuse",
    "postgresql": "DROP TRIGGER refuse ON feature_flag_history",
}


def test_a_flag_that_cannot_be_recorded_delays_no_other_and_is_tried_again(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, setbacks: Setbacks
) -> None:
    for key in ("a", "bad", "z"):
        a_planned_flag(store, key, 10)
    run(engine, *REFUSE_ONE_FLAG[engine.dialect.name])
    clock.advance(seconds=10)

    _, (setback,) = drain(store, setbacks)

    assert "not this one" in setback.cause
    assert setback.delay == timedelta(seconds=1)
    assert [read_flag(named(key), store=store).materialized for key in ("a", "bad", "z")] == [True, False, True]
    assert read_flag(named("bad"), store=store).state.version == 2
    assert look_ahead(store, Setbacks(setbacks.monotonic)).due_at == after(11)

    clock.advance(seconds=1)
    _, (setback,) = drain(store, setbacks)
    assert setback.delay == timedelta(seconds=2)

    run(engine, ACCEPT_AGAIN[engine.dialect.name])
    clock.advance(seconds=1)
    assert drain(store, setbacks) == ([], [])
    clock.advance(seconds=1)
    assert drain(store, setbacks) == ([1], [])
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM feature_flags WHERE retry_at IS NOT NULL").scalar() == 0


def test_a_setback_is_passed_over_also_when_it_could_not_be_written_down(
    store: SqlStore, clock: ManualClock, setbacks: Setbacks
) -> None:
    a_planned_flag(store, "bad", 10)
    clock.advance(seconds=10)
    setbacks.note(read_flag(named("bad"), store=store).flag.id)

    assert materialise_due(store, setbacks) == Recorded()
    assert look_ahead(store, setbacks).due_at is None
    clock.advance(seconds=1)
    assert materialise_due(store, setbacks) == Recorded(1)


def test_flags_that_only_look_due_starve_nobody(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, setbacks: Setbacks
) -> None:
    for n in range(25):
        create_flag(a_new_flag(f"idle-{n}"), by=ADMIN, store=store)
    with engine.begin() as connection:
        connection.execute(sa.update(flags_table).values(next_due_at=after(1)))
    a_planned_flag(store, "busy", 10)
    clock.advance(seconds=10)

    drain(store, setbacks)

    assert read_flag(named("busy"), store=store).materialized
    assert look_ahead(store, setbacks).due_at is None


def test_a_schedule_that_somebody_ended_by_hand_is_not_recorded_as_applied(store: SqlStore, clock: ManualClock) -> None:
    a_planned_flag(store, "new-checkout", 10)
    clock.advance(seconds=10)
    with store.writing() as work:
        (flag,) = work.flags.claim_due(1, passing_over=[])
        (schedule,) = work.schedules.due([flag], clock(), 9)[flag.id]
        ended = replace(schedule, status=Status.FAILED, error_message="by hand")
        work.schedules.end([ended])
        with pytest.raises(StatementFailed):
            work.schedules.end([ended])


def test_setbacks_wait_longer_each_time_up_to_a_minute(clock: ManualClock, setbacks: Setbacks) -> None:
    flag_id = UUID(int=1)

    delays = [setbacks.note(flag_id).total_seconds() for _ in range(9)]

    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert setbacks.waiting() == [flag_id]
    clock.advance(seconds=61)
    assert setbacks.waiting() == []


def test_looking_ahead_tells_the_earliest_plan_of_all(store: SqlStore, clock: ManualClock, setbacks: Setbacks) -> None:
    assert look_ahead(store, setbacks).due_at is None

    a_planned_flag(store, "a", 30)
    a_planned_flag(store, "b", 20, 40)

    assert look_ahead(store, setbacks) == Outlook(clock(), after(20))


def test_an_edit_between_two_steps_stands_until_the_next(
    store: SqlStore, clock: ManualClock, setbacks: Setbacks
) -> None:
    a_planned_flag(store, "new-checkout", 10, 30)
    clock.advance(seconds=20)
    edit_flag(CHECKOUT, FlagEdit(Updates(enabled=True, rollout_percentage=77)), by=ADMIN, store=store)
    clock.advance(seconds=20)

    drain(store, setbacks)

    assert read_flag(CHECKOUT, store=store).state == a_state(
        enabled=True, percentage=30, version=4, changed_at=after(30)
    )
