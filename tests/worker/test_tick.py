"""When the next tick comes: after a tick, after a failure, and when something is planned sooner."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from flagsched.database.schema import migrations
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagName
from flagsched.usecases.flags import create_flag
from flagsched.usecases.schedules import plan_schedules
from flagsched.worker.drain import Drain
from flagsched.worker.process import TickTrigger
from flagsched.worker.tick import Tick
from tests.builders import ADMIN, CHECKOUT, NOON, ManualClock, a_change, a_new_flag, after
from tests.rows import all_schedules


@pytest.fixture
def drain(store: SqlStore, clock: ManualClock) -> Drain:
    return Drain(store, clock=lambda: clock().timestamp())


@pytest.fixture
def tick(store: SqlStore, drain: Drain) -> Tick:
    """A tick that polls each second, without jitter: it takes the upper end of every range."""
    return Tick(store, drain, poll_seconds=1.0, spread=lambda _, high: high)


def plan(store: SqlStore, seconds: float) -> None:
    plan_schedules(CHECKOUT, [a_change(after(seconds))], batch=False, by=ADMIN, store=store)


def test_with_nothing_planned_it_polls(tick: Tick) -> None:
    tick()

    assert tick.wait_seconds == 1.0


def test_it_ticks_at_the_instant_of_what_is_planned_next(store: SqlStore, tick: Tick, clock: ManualClock) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    plan(store, 0.25)
    plan(store, 30)

    tick()
    assert tick.wait_seconds == 0.25

    clock.advance(seconds=0.25)
    tick()
    assert tick.wait_seconds == 1.0


def test_what_is_due_but_cannot_be_claimed_is_retried_soon_but_not_at_once(
    store: SqlStore, drain: Drain, tick: Tick, clock: ManualClock
) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    plan(store, 5)
    clock.advance(seconds=5)
    drain.stopping = True  # So that it claims nothing, as if somebody held the flag.

    tick()

    assert tick.wait_seconds == 0.05


def test_what_stays_held_is_looked_at_less_often_but_what_is_due_next_on_time(
    store: SqlStore, drain: Drain, tick: Tick, clock: ManualClock
) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    plan(store, 5)
    plan(store, 30)
    clock.advance(seconds=5)
    drain.stopping = True

    waits = []
    for _ in range(5):
        tick()
        waits.append(tick.wait_seconds)
    create_flag(a_new_flag("next"), by=ADMIN, store=store)
    plan_schedules(FlagName("production", "next"), [a_change(after(5.1))], batch=False, by=ADMIN, store=store)
    tick()

    assert waits == [0.05, 0.1, 0.2, 0.4, 0.4]
    assert tick.wait_seconds == 0.1


def test_what_is_held_is_retried_soon_again_once_something_was_recorded(
    store: SqlStore, drain: Drain, tick: Tick, clock: ManualClock
) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    plan(store, 5)
    clock.advance(seconds=5)
    drain.stopping = True
    for _ in range(3):
        tick()

    drain.stopping = False
    tick()
    plan(store, 6)
    clock.advance(seconds=1)
    drain.stopping = True
    tick()

    assert tick.wait_seconds == 0.05


def test_it_backs_off_while_the_database_cannot_be_used_and_recovers(tick: Tick, engine: sa.Engine) -> None:
    tick()
    migrations.downgrade(engine, "base")

    waits = []
    for _ in range(5):
        tick()
        waits.append(tick.wait_seconds)
    migrations.upgrade(engine)
    tick()

    assert waits == [1, 2, 4, 4, 4]
    assert tick.wait_seconds == 1.0


def test_it_knows_whether_the_next_tick_comes_before_an_instant(tick: Tick) -> None:
    assert not tick.comes_before(NOON + timedelta(days=1))

    tick()

    assert not tick.comes_before(after(0.5))
    assert tick.comes_before(after(1))


def test_a_schedule_created_during_a_tick_gets_another_tick(store: SqlStore, drain: Drain, clock: ManualClock) -> None:
    comes_before: list[bool] = []

    def spread(_: float, high: float) -> float:
        comes_before.append(one.comes_before(after(9)))
        return high

    one = Tick(store, drain, poll_seconds=1.0, spread=spread)
    one()
    clock.advance(seconds=1)

    one()

    assert comes_before == [False, False]


def test_a_drain_that_is_stopping_begins_no_transaction(
    store: SqlStore, drain: Drain, clock: ManualClock, engine: sa.Engine
) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    plan(store, 5)
    clock.advance(seconds=5)
    drain.stopping = True

    assert drain() == []

    assert [s.status for s in all_schedules(engine)] == ["pending"]


def test_the_trigger_counts_from_now_and_not_from_the_scheduler_s_now(tick: Tick) -> None:
    tick.wait_seconds = 30

    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    began = datetime.now(UTC)

    fire_time = TickTrigger(tick).get_next_fire_time(None, long_ago)

    assert fire_time - began >= timedelta(seconds=30)
