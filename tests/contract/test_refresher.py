"""One thread looks for all who ask: how often, how late, and what is told while the database is away."""

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Barrier
from time import sleep

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from flagsched.database.clock import HostClock
from flagsched.database.holds import AnyHolds
from flagsched.database.snapshots import MAX_IDS
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagName
from flagsched.domain.overrides import NewOverride, OverrideType
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.usecases.flags import create_flag, edit_flag
from flagsched.usecases.overrides import set_override
from flagsched.usecases.schedules import plan_schedules
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_change, a_new_flag, after
from tests.contract.refreshes import ADA, ALL, OFF, ONE, enabled, looks, plan_off
from tests.processes import until
from tests.recorder import recorded


@pytest.mark.usefixtures("_flag")
def test_names_that_somebody_invents_cost_no_look_each(engine: sa.Engine, refresher: SnapshotRefresher) -> None:
    assert enabled(refresher)

    with recorded(engine) as statements:
        answers = [refresher.effective(f"invented-{n}").flags for n in range(200)]

    assert answers == [{}] * 200
    assert looks(statements) <= 2


@pytest.mark.usefixtures("_flag")
def test_a_database_that_has_gone_back_is_read_anew_at_once(
    refresher: SnapshotRefresher, engine: sa.Engine, clock: ManualClock
) -> None:
    assert enabled(refresher)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE feature_flag_environments SET revision = revision - 1"))
        connection.execute(sa.text("UPDATE feature_flags SET enabled = false, revision = revision - 1"))

    clock.advance(seconds=1.5)

    assert not enabled(refresher)


@pytest.mark.usefixtures("_flag")
def test_only_what_has_changed_is_read(refresher: SnapshotRefresher, engine: sa.Engine, clock: ManualClock) -> None:
    assert enabled(refresher)

    with recorded(engine) as statements:
        clock.advance(seconds=200)
        assert enabled(refresher)

    assert [one for one in statements if "FROM feature_flags WHERE" in one] == []


@pytest.mark.parametrize("number", [3, MAX_IDS + 5])
def test_all_that_has_changed_between_two_looks_is_known_with_its_plans_and_users(
    store: SqlStore, refresher: SnapshotRefresher, clock: ManualClock, number: int
) -> None:
    names = [FlagName("production", f"flag-{n}") for n in range(number)]
    for name in [*names, CHECKOUT]:
        create_flag(a_new_flag(name.key, enabled=True, rollout_percentage=0), by=ADMIN, store=store)
    assert len(refresher.effective("production").flags) == number + 1
    for name in names:
        plan_schedules(name, [a_change(after(100), enabled=False)], batch=False, by=ADMIN, store=store)
        set_override(name, NewOverride("ada", OverrideType.INCLUDE), by=ADMIN, store=store)

    clock.advance(seconds=2)
    told = refresher.effective("production").flags

    assert all((told[n.key].next_change_at, told[n.key].evaluate("ada").value) == (after(100), True) for n in names)
    assert (told["new-checkout"].next_change_at, told["new-checkout"].evaluate("ada").value) == (None, False)


@pytest.mark.usefixtures("_flag")
def test_not_all_is_read_anew_at_one_time(
    refresher: SnapshotRefresher, engine: sa.Engine, store: SqlStore, clock: ManualClock
) -> None:
    names = [f"environment-{n}" for n in range(20)]
    for name in names:
        create_flag(a_new_flag(environment=name, enabled=True), by=ADMIN, store=store)
    clock.advance(seconds=2)
    assert all(enabled(refresher, name) for name in names)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE feature_flags SET enabled = false"))

    clock.advance(seconds=270)

    assert {enabled(refresher, name) for name in names} == {True, False}


@pytest.mark.usefixtures("_flag")
def test_all_who_ask_at_one_instant_wait_for_one_look(
    engine: sa.Engine, store: SqlStore, clock: ManualClock, refresher: SnapshotRefresher
) -> None:
    plan_off(store, 10)
    clock.advance(seconds=9.5)
    assert enabled(refresher)
    together = Barrier(32)

    def ask(_: int) -> bool:
        together.wait()
        return enabled(refresher)

    clock.advance(seconds=0.5)
    with recorded(engine) as statements, ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(ask, range(32)))

    assert answers == [False] * 32
    # One that had begun before may be in the way, and one comes each half second anyway.
    assert 1 <= looks(statements) <= 3


@pytest.mark.usefixtures("_flag")
def test_no_request_asks_the_database_between_two_looks(engine: sa.Engine, anyone: FlaskClient) -> None:
    anyone.post(ONE, json=ADA)
    asked_by: set[str] = set()

    def note(*_: object) -> None:
        asked_by.add(threading.current_thread().name)

    sa.event.listen(engine, "before_cursor_execute", note)
    with recorded(engine) as statements:
        answers = [anyone.post(path, json=ADA).status_code for _ in range(100) for path in (ONE, ALL)]
    sa.event.remove(engine, "before_cursor_execute", note)

    assert answers == [200] * 200
    assert asked_by <= {"refresher"}
    assert looks(statements) <= 10


class SlowClock(HostClock):
    """A clock that takes long to answer, after the transaction has its snapshot; meanwhile something is done."""

    def __init__(self, clock: ManualClock, meanwhile: Callable[[], object]) -> None:
        super().__init__(clock)
        self._clock = clock
        self._ahead = [meanwhile]

    def at_begin(self, connection: sa.Connection, known: AnyHolds) -> datetime:
        at = super().at_begin(connection, known)
        connection.execute(sa.text("SELECT count(*) FROM feature_flags"))
        return at

    def now(self, connection: sa.Connection, known: AnyHolds) -> datetime:
        for meanwhile in self._ahead:
            meanwhile()
            self._clock.advance(seconds=0.2)
        self._ahead.clear()
        return super().now(connection, known)


@pytest.mark.usefixtures("_flag")
def test_a_cancel_that_comes_between_a_looks_snapshot_and_its_clock_is_honoured(
    engine: sa.Engine, store: SqlStore, clock: ManualClock
) -> None:
    cancel = plan_off(store, 10)
    clock.advance(seconds=9.9)
    slow = SnapshotRefresher(SqlStore(engine, SlowClock(clock, cancel)), monotonic=lambda: clock().timestamp())

    first = enabled(slow)
    slow.close()

    assert clock() == after(10.1)
    assert first is True


@pytest.mark.usefixtures("_flag")
def test_an_environment_is_known_to_all_who_ask_for_it_while_it_is_created(store: SqlStore) -> None:
    refresher = SnapshotRefresher(store)
    names = [f"environment-{n}" for n in range(4)]

    def ask(name: str) -> bool:
        while not (flags := refresher.effective(name).flags):
            sleep(0.001)  # Or eight threads that spin hold up the ninth.
        return flags["new-checkout"].effective.state.enabled

    for name in names:
        with ThreadPoolExecutor(8) as threads:
            told = [threads.submit(ask, name) for _ in range(8)]
            create_flag(a_new_flag(environment=name, enabled=True), by=ADMIN, store=store)
        assert [one.result() for one in told] == [True] * 8
    for name in names:
        edit_flag(FlagName(name, "new-checkout"), OFF, by=ADMIN, store=store)

    until(lambda: not any(enabled(refresher, name) for name in names), seconds=5, what="all changes are known")
    refresher.close()


@pytest.mark.usefixtures("_flag")
def test_what_nobody_has_a_use_for_any_more_looks_no_more(store: SqlStore) -> None:
    others = set(threading.enumerate())

    def listen(_: object, stopped: threading.Event) -> None:
        stopped.wait()

    refresher = SnapshotRefresher(store, listen=listen)
    assert enabled(refresher)
    begun = {one for one in set(threading.enumerate()) - others if one.name in {"refresher", "listener"}}

    del refresher

    assert len(begun) == 2
    until(lambda: gc.collect() >= 0 and not any(one.is_alive() for one in begun), seconds=5, what="both have ended")
