"""Looks that fail, hang or come late, and a clock that is set back: who waits for them, and what is told meanwhile."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from threading import Event, Timer
from threading import enumerate as enumerate_threads
from time import monotonic, sleep

import pytest
import sqlalchemy as sa

from flagsched.database.clock import HostClock
from flagsched.database.holds import AnyHolds
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import DatabaseUnavailable
from flagsched.domain.flags import FlagName
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.usecases.flags import create_flag, edit_flag
from flagsched.usecases.schedules import plan_schedules
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_change, a_new_flag, after
from tests.contract.refreshes import OFF, enabled, plan_off
from tests.processes import PATIENCE_SECONDS, until


class Hindered(HostClock):
    """The clock of a database that can be away, hang, be set, or have something happen after a look's snapshot."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(lambda: clock() + self.ahead)
        self.ahead = timedelta(0)
        self.begun = 0
        self.away = False
        self.answers = Event()
        self.answers.set()
        self.meanwhile: list[Callable[[], object]] = []

    def at_begin(self, connection: sa.Connection, known: AnyHolds) -> datetime:
        self.begun += 1
        if self.away:
            raise DatabaseUnavailable("away")
        self.answers.wait(PATIENCE_SECONDS)
        at = super().at_begin(connection, known)
        connection.execute(sa.text("SELECT count(*) FROM feature_flags"))
        return at

    def now(self, connection: sa.Connection, known: AnyHolds) -> datetime:
        while self.meanwhile:
            self.meanwhile.pop(0)()
        return super().now(connection, known)


@pytest.fixture
def database(clock: ManualClock) -> Hindered:
    return Hindered(clock)


@pytest.fixture
def late(engine: sa.Engine, store: SqlStore, clock: ManualClock, database: Hindered) -> Iterator[SnapshotRefresher]:
    """It knows a flag that is on."""
    create_flag(a_new_flag(enabled=True), by=ADMIN, store=store)
    refresher = SnapshotRefresher(SqlStore(engine, database), monotonic=lambda: clock().timestamp())
    assert enabled(refresher)
    yield refresher
    database.answers.set()
    refresher.close()


def switch_off(store: SqlStore, environment: str = "production") -> None:
    edit_flag(FlagName(environment, "new-checkout"), OFF, by=ADMIN, store=store)


def seconds_of(ask: Callable[[], object]) -> float:
    """How long the answer takes, by a real clock."""
    began_at = monotonic()
    ask()
    return monotonic() - began_at


def test_no_answer_rests_on_a_look_that_is_older_than_a_second(
    late: SnapshotRefresher, store: SqlStore, clock: ManualClock
) -> None:
    switch_off(store)

    clock.advance(seconds=1.5)

    assert not enabled(late)


def test_nor_does_it_once_the_database_was_away_and_is_back(
    late: SnapshotRefresher, store: SqlStore, clock: ManualClock, database: Hindered
) -> None:
    database.away = True
    clock.advance(seconds=2)
    assert enabled(late)
    database.away = False
    until(lambda: not late.stale, seconds=5, what="back")
    switch_off(store)

    clock.advance(seconds=1.5)

    assert not enabled(late)


def test_a_late_look_is_waited_for(
    late: SnapshotRefresher, store: SqlStore, clock: ManualClock, database: Hindered
) -> None:
    database.answers.clear()
    switch_off(store)
    clock.advance(seconds=2)
    release = Timer(0.2, database.answers.set)
    release.start()

    told = enabled(late)
    release.join()

    assert told is False


def test_at_an_instant_a_look_that_hangs_is_not_waited_for_any_longer(
    late: SnapshotRefresher, store: SqlStore, clock: ManualClock, database: Hindered
) -> None:
    plan_off(store, 10)
    clock.advance(seconds=9.5)
    assert enabled(late)
    database.answers.clear()

    clock.advance(seconds=0.5)
    took = seconds_of(lambda: enabled(late))

    assert not enabled(late)
    assert took < 0.3


def test_only_the_first_waits_for_a_look_that_hangs(
    late: SnapshotRefresher, clock: ManualClock, database: Hindered
) -> None:
    database.answers.clear()
    clock.advance(seconds=2)

    first = seconds_of(lambda: enabled(late))
    others = seconds_of(lambda: [enabled(late) for _ in range(5)])

    assert first >= 0.4
    assert others < 0.4


def test_while_the_database_is_away_no_answer_asks_it(
    late: SnapshotRefresher, clock: ManualClock, database: Hindered
) -> None:
    database.away = True
    clock.advance(seconds=2)
    assert enabled(late)
    before = database.begun

    assert all(enabled(late) for _ in range(200))

    assert database.begun <= before + 3


def test_while_the_database_is_away_nobody_waits_for_an_environment_that_was_not_there(
    late: SnapshotRefresher, clock: ManualClock, database: Hindered
) -> None:
    database.answers.clear()
    clock.advance(seconds=2)
    assert enabled(late)

    took = seconds_of(lambda: late.effective("invented"))

    assert late.effective("invented").flags == {}
    assert took < 1


def test_while_the_database_is_away_an_environment_that_nobody_has_asked_for_is_answered(
    late: SnapshotRefresher, store: SqlStore, clock: ManualClock, database: Hindered
) -> None:
    create_flag(a_new_flag(environment="staging", enabled=True), by=ADMIN, store=store)
    clock.advance(seconds=2)
    assert enabled(late)

    database.away = True
    clock.advance(seconds=2)

    assert enabled(late, "staging")


def test_whoever_asks_first_once_the_database_is_there_is_answered(
    engine: sa.Engine, store: SqlStore, clock: ManualClock, database: Hindered
) -> None:
    create_flag(a_new_flag(enabled=True), by=ADMIN, store=store)
    database.away = True
    new = SnapshotRefresher(SqlStore(engine, database), monotonic=lambda: clock().timestamp())
    with pytest.raises(DatabaseUnavailable):
        new.effective("production")

    database.away = False
    told = enabled(new)
    new.close()

    assert told


def test_what_is_known_is_as_old_as_the_beginning_of_its_look(
    engine: sa.Engine, store: SqlStore, clock: ManualClock, database: Hindered
) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    slow = SnapshotRefresher(SqlStore(engine, database), monotonic=lambda: clock().timestamp())
    database.meanwhile.append(lambda: clock.advance(seconds=2))

    slow.effective("production")
    age_seconds = slow.age_seconds
    slow.close()

    assert age_seconds == 2


def test_of_two_instants_that_a_look_began_between_it_tells_the_first_alone(
    late: SnapshotRefresher, store: SqlStore, clock: ManualClock, database: Hindered
) -> None:
    cancel = plan_off(store, 10.1)
    plan_schedules(CHECKOUT, [a_change(after(10), rollout_percentage=7)], batch=False, by=ADMIN, store=store)
    clock.advance(seconds=8)
    assert enabled(late)
    database.meanwhile += [cancel, lambda: clock.advance(seconds=0.2)]

    clock.advance(seconds=2)
    told = enabled(late)

    assert clock() == after(10.2)
    assert told is True


def test_what_was_told_is_not_taken_back_when_the_clock_is_set_back(
    engine: sa.Engine, late: SnapshotRefresher, store: SqlStore, clock: ManualClock, database: Hindered
) -> None:
    plan_off(store, 10)
    clock.advance(seconds=11)
    assert not enabled(late)

    database.ahead = timedelta(seconds=-5)
    plan_off(SqlStore(engine, database), 100)
    clock.advance(seconds=2)

    assert late.effective("production").flags["new-checkout"].next_change_at == after(100)
    assert not enabled(late)


def test_notices_that_come_all_the_time_are_heard_fifty_times_a_second_at_most(store: SqlStore) -> None:
    heard: list[float] = []
    done = Event()

    def notify(hear: Callable[[object], None], stopped: Event) -> None:
        began_at = monotonic()
        while monotonic() < began_at + 0.5 and not stopped.is_set():
            hear(None)
            heard.append(monotonic())
        done.set()

    refresher = SnapshotRefresher(store, listen=notify)
    refresher.effective("production")
    assert done.wait(PATIENCE_SECONDS)
    refresher.close()

    assert 2 <= len(heard) <= 26


class Far(HostClock):
    """The clock of a database that takes long to answer, by a real clock."""

    def at_begin(self, connection: sa.Connection, known: AnyHolds) -> datetime:
        sleep(0.3)
        return super().at_begin(connection, known)


def test_over_a_slow_connection_nobody_waits_for_a_look_but_the_first(engine: sa.Engine) -> None:
    far = SnapshotRefresher(SqlStore(engine, Far()))
    far.effective("production")
    began_at = monotonic()
    took = []

    while monotonic() < began_at + 3:
        took.append(seconds_of(lambda: far.effective("production")))
    far.close()

    assert max(took) < 0.15


def test_what_is_closed_looks_no_more(store: SqlStore) -> None:
    others = set(enumerate_threads())
    refresher = SnapshotRefresher(store)
    refresher.effective("production")
    begun = [one for one in set(enumerate_threads()) - others if one.name == "refresher"]

    refresher.close()

    assert len(begun) == 1
    until(lambda: not begun[0].is_alive(), seconds=5, what="its thread has ended")
