"""The plan, on every database: one INSERT, one order, all or nothing, and cancelling what is not in effect."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import uuid4

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.effective import EffectiveSchedule
from flagsched.domain.errors import (
    AlreadyApplied,
    AlreadyCancelled,
    AlreadyFailed,
    DuplicateInstants,
    FlagMissing,
    InstantsRefused,
    ScheduleMissing,
    StatementFailed,
)
from flagsched.domain.flags import FlagName
from flagsched.domain.history import Actor
from flagsched.domain.schedules import Status
from flagsched.domain.updates import UnreadableUpdates
from flagsched.ports.schedules import ScheduleQuery
from flagsched.usecases.flags import create_flag, read_flag
from flagsched.usecases.schedules import cancel_schedule, list_schedules, plan_schedules, read_schedule
from tests.builders import ADMIN, CHECKOUT, NOON, ManualClock, a_change, a_new_flag, after
from tests.recorder import inserts, recorded
from tests.rows import all_history, all_schedules, count, the_flag

BOB = Actor("bob", "request-2")


@pytest.fixture(autouse=True)
def _a_flag(store: SqlStore) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)


def plan(store: SqlStore, *seconds: float, batch: bool = True) -> list[EffectiveSchedule]:
    return plan_schedules(CHECKOUT, [a_change(after(s)) for s in seconds], batch=batch, by=ADMIN, store=store)


@pytest.mark.parametrize("size", [1, 5, 50])
def test_a_batch_is_one_insert_whatever_its_size(store: SqlStore, engine: sa.Engine, size: int) -> None:
    with recorded(engine) as statements:
        plan(store, *range(1, size + 1))

    assert inserts(statements, "feature_flag_schedules") == 1
    assert inserts(statements, "feature_flag_history") == 1
    assert count(engine, "feature_flag_schedules") == size


def test_planning_takes_as_many_statements_for_fifty_as_for_one(store: SqlStore, engine: sa.Engine) -> None:
    with recorded(engine) as alone:
        plan(store, 1, batch=False)
    with recorded(engine) as for_one:
        plan(store, 2)
    with recorded(engine) as for_fifty:
        plan(store, *range(100, 150))

    assert for_one == for_fifty
    assert [one for one in for_one if "INSERT INTO feature_flag_plans" not in one] == alone


def test_a_batch_comes_back_in_the_order_asked_for_and_is_kept_so(store: SqlStore, engine: sa.Engine) -> None:
    planned = plan(store, 30, 10, 20)

    assert [one.schedule.scheduled_at for one in planned] == [after(30), after(10), after(20)]
    assert [one.schedule.seq for one in planned] == [1, 2, 3]
    assert {one.schedule.status for one in planned} == {Status.PENDING}
    assert len({one.schedule.batch_id for one in planned}) == 1
    for one in planned:
        assert read_schedule(CHECKOUT, one.schedule.id, store=store).schedule == one.schedule
    assert the_flag(engine).next_due_at == after(10)
    assert the_flag(engine).last_seq == 3


def test_a_single_schedule_has_no_batch(store: SqlStore) -> None:
    assert plan(store, 10, batch=False)[0].schedule.batch_id is None


def test_each_planned_schedule_is_in_the_history(store: SqlStore, engine: sa.Engine) -> None:
    planned = plan(store, 20, 10)

    entries = all_history(engine)[1:]
    assert [e.schedule_id for e in entries] == [one.schedule.id for one in planned]
    assert {(e.action, e.actor, e.request_id, e.flag_version) for e in entries} == {
        ("schedule.created", "ada", "request-1", 1)
    }
    assert entries[0].after == {
        "scheduledAt": "2096-06-01T12:00:20Z",
        "updates": {"enabled": True},
        "status": "pending",
    }


@pytest.mark.parametrize(
    ("seconds", "error"),
    [((1, 2, 3, 4, 5, 0), InstantsRefused), ((-1, 1), InstantsRefused), ((1, 2, 1), DuplicateInstants)],
)
def test_a_refused_batch_leaves_no_row(
    store: SqlStore, engine: sa.Engine, seconds: tuple[float, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        plan(store, *seconds)

    assert count(engine, "feature_flag_schedules") == 0
    assert count(engine, "feature_flag_history") == 1
    assert the_flag(engine).last_seq == 0


REFUSE_THE_THIRTIETH = {
    "sqlite": [
        """CREATE TRIGGER refuse BEFORE INSERT ON feature_flag_schedules WHEN NEW.seq = 30
           BEGIN SELECT RAISE(ABORT, 'the thirtieth is refused'); END"""
    ],
    "postgresql": [
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'the thirtieth is refused'; END $$""",
        """CREATE TRIGGER refuse BEFORE INSERT ON feature_flag_schedules FOR EACH ROW WHEN (NEW.seq = 30)
           EXECUTE FUNCTION refuse()""",
    ],
}


def test_a_rollback_forced_inside_the_database_leaves_no_row(store: SqlStore, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for statement in REFUSE_THE_THIRTIETH[engine.dialect.name]:
            connection.exec_driver_sql(statement)

    with pytest.raises(StatementFailed) as caught:
        plan(store, *range(1, 51))

    assert "the thirtieth is refused" in caught.value.cause
    assert count(engine, "feature_flag_schedules") == 0
    assert count(engine, "feature_flag_history") == 1


def test_the_future_is_judged_after_what_the_flag_has_seen(store: SqlStore, clock: ManualClock) -> None:
    plan(store, 60)
    clock.advance(seconds=60)
    plan(store, 120)

    clock.advance(seconds=-30)
    with pytest.raises(InstantsRefused):
        plan(store, 60)


def test_planning_first_writes_down_what_is_in_effect(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    plan(store, 10, 30)
    clock.advance(seconds=20)

    plan(store, 25)

    assert [(s.scheduled_at, s.status) for s in all_schedules(engine)] == [
        (after(10), "applied"),
        (after(25), "pending"),
        (after(30), "pending"),
    ]
    assert the_flag(engine).next_due_at == after(25)


def test_a_plan_for_a_missing_flag_is_refused(store: SqlStore, engine: sa.Engine) -> None:
    with pytest.raises(FlagMissing, match="'other' does not exist in 'production'"):
        plan_schedules(FlagName("production", "other"), [a_change(after(1))], batch=False, by=ADMIN, store=store)

    assert count(engine, "feature_flag_schedules") == 0


def test_schedules_are_listed_by_time_page_by_page(store: SqlStore) -> None:
    plan(store, 30, 10, 20)
    plan(store, 10, 40)

    pages, place = [], None
    while True:
        page = list_schedules(CHECKOUT, ScheduleQuery(after=place, limit=2), store=store)
        pages.append([(one.schedule.scheduled_at, one.schedule.seq) for one in page.items])
        if not page.more:
            break
        place = pages[-1][-1]

    assert pages == [[(after(10), 2), (after(10), 4)], [(after(20), 3), (after(30), 1)], [(after(40), 5)]]


def test_schedules_are_listed_by_status(store: SqlStore) -> None:
    first, second = plan(store, 10, 20)
    cancel_schedule(CHECKOUT, first.schedule.id, by=ADMIN, store=store)

    pending = list_schedules(CHECKOUT, ScheduleQuery(statuses=[Status.PENDING]), store=store)

    assert [one.schedule.id for one in pending.items] == [second.schedule.id]


def test_a_cancelled_schedule_never_takes_effect(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    (planned,) = plan(store, 10)

    cancelled = cancel_schedule(CHECKOUT, planned.schedule.id, by=BOB, store=store)
    clock.advance(seconds=20)

    assert cancelled.schedule.status is Status.CANCELLED
    assert (cancelled.schedule.cancelled_by, cancelled.schedule.cancelled_at) == ("bob", NOON)
    assert read_schedule(CHECKOUT, planned.schedule.id, store=store).schedule == cancelled.schedule
    assert not read_flag(CHECKOUT, store=store).state.enabled
    assert the_flag(engine).next_due_at is None
    entry = all_history(engine)[-1]
    assert (entry.action, entry.actor, entry.after["status"]) == ("schedule.cancelled", "bob", "cancelled")


def test_what_is_in_effect_cannot_be_cancelled(store: SqlStore, clock: ManualClock) -> None:
    (planned,) = plan(store, 10)
    clock.advance(seconds=10)

    with pytest.raises(AlreadyApplied):
        cancel_schedule(CHECKOUT, planned.schedule.id, by=BOB, store=store)

    now = read_flag(CHECKOUT, store=store)
    assert (now.state.enabled, now.materialized) == (True, True)


@contextmanager
def overtaken(engine: sa.Engine, clock: ManualClock, at: datetime) -> Iterator[None]:
    """Time passes between a writer's look at the clock and its last statement."""

    def let_time_pass(connection: object, cursor: object, statement: str, *rest: object) -> None:
        del connection, cursor, rest
        if "INSERT INTO feature_flag_history" in statement:
            clock.at = at

    sa.event.listen(engine, "before_cursor_execute", let_time_pass)
    yield
    sa.event.remove(engine, "before_cursor_execute", let_time_pass)


def test_a_cancel_that_its_instant_overtakes_is_refused(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    (planned,) = plan(store, 10)

    with overtaken(engine, clock, after(10)), pytest.raises(AlreadyApplied):
        cancel_schedule(CHECKOUT, planned.schedule.id, by=BOB, store=store)

    assert read_flag(CHECKOUT, store=store).state.enabled
    assert [e.action for e in all_history(engine)] == ["flag.created", "schedule.created", "schedule.applied"]


def test_a_plan_that_its_instant_overtakes_is_refused(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    with overtaken(engine, clock, after(10)), pytest.raises(InstantsRefused):
        plan(store, 10)

    assert not read_flag(CHECKOUT, store=store).state.enabled
    assert all_schedules(engine) == []


def test_a_schedule_is_cancelled_only_once(store: SqlStore) -> None:
    (planned,) = plan(store, 10)
    cancel_schedule(CHECKOUT, planned.schedule.id, by=ADMIN, store=store)

    with pytest.raises(AlreadyCancelled):
        cancel_schedule(CHECKOUT, planned.schedule.id, by=BOB, store=store)


def test_a_schedule_is_found_under_its_own_flag_only(store: SqlStore) -> None:
    create_flag(a_new_flag("other"), by=ADMIN, store=store)
    (planned,) = plan(store, 10)

    for attempt in (read_schedule, lambda *what, store: cancel_schedule(*what, by=BOB, store=store)):
        with pytest.raises(ScheduleMissing):
            attempt(FlagName("production", "other"), planned.schedule.id, store=store)
        with pytest.raises(ScheduleMissing):
            attempt(CHECKOUT, uuid4(), store=store)


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param("[1]", id="an array"),
        pytest.param('{"enabled": "yes"}', id="a string"),
        pytest.param('{"rolloutPercentage": 1e9}', id="a float"),
        pytest.param("{}", id="empty"),
        pytest.param("null", id="null"),
        pytest.param('{"x":' * 3000 + "1" + "}" * 3000, id="deep"),
    ],
)
def test_updates_that_cannot_be_read_spoil_no_query(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, stored: str
) -> None:
    bad, good = plan(store, 10, 20)
    with engine.begin() as connection:
        column = "CAST(:stored AS jsonb)" if engine.dialect.name == "postgresql" else ":stored"
        broken = sa.text(f"UPDATE feature_flag_schedules SET updates = {column} WHERE seq = 1")
        connection.execute(broken, {"stored": stored})
    clock.advance(seconds=10)

    listed = list_schedules(CHECKOUT, ScheduleQuery(), store=store).items

    assert [type(one.schedule.updates) is UnreadableUpdates for one in listed] == [True, False]
    assert read_flag(CHECKOUT, store=store).state.version == 1
    with pytest.raises(AlreadyFailed):
        cancel_schedule(CHECKOUT, bad.schedule.id, by=BOB, store=store)
    assert read_flag(CHECKOUT, store=store).next_change_at == good.schedule.scheduled_at
