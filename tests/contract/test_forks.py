"""Processes forked from one that has used its database already, as servers do that load the app first."""

import os
import threading
from collections.abc import Callable

import psutil
import pytest
import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.usecases.flags import edit_flag, read_flag
from tests.builders import ADMIN, CHECKOUT, ManualClock
from tests.contract.refreshes import OFF, enabled


@pytest.mark.usefixtures("_flag")
def test_forked_processes_start_with_an_empty_cache_and_refresh_by_themselves(
    store: SqlStore, refresher: SnapshotRefresher, clock: ManualClock
) -> None:
    assert enabled(refresher)
    edit_flag(CHECKOUT, OFF, by=ADMIN, store=store)

    def refreshes_by_itself() -> bool:
        answers = set()
        for _ in range(20):
            answers.add(enabled(refresher))
            clock.advance(seconds=2)
        return answers == {False} and [one.name for one in threading.enumerate()].count("refresher") == 1

    # All at once, beside their parent.
    children = [in_a_fork(refreshes_by_itself) for _ in range(6)]
    for _ in range(20):
        clock.advance(seconds=2)
        refresher.effective("production")
    ended = [psutil.Process(child).wait(timeout=20) for child in children]

    assert ended == [0] * 6
    assert not enabled(refresher)


@pytest.mark.usefixtures("_flag")
def test_a_forked_process_opens_connections_of_its_own(engine: sa.Engine, store: SqlStore) -> None:
    read_flag(CHECKOUT, store=store)

    def opens_one() -> bool:
        opened: list[object] = []
        sa.event.listen(engine, "connect", lambda connection, _: opened.append(connection))
        read_flag(CHECKOUT, store=store)
        return len(opened) == 1

    assert psutil.Process(in_a_fork(opens_one)).wait(timeout=20) == 0


def in_a_fork(succeeds: Callable[[], bool]) -> int:
    """Have a child of this process do something, and end with 0 if it succeeds; returns its id."""
    if child := os.fork():
        return child
    try:
        os._exit(0 if succeeds() else 1)
    finally:
        os._exit(2)


@pytest.mark.usefixtures("_flag")
def test_what_a_child_writes_stays_when_its_parent_closes_its_engine(
    url: sa.URL, engine: sa.Engine, store: SqlStore, refresher: SnapshotRefresher
) -> None:
    assert enabled(refresher)
    child_has_read, read = os.pipe()
    parent_has_gone, gone = os.pipe()

    def write() -> bool:
        assert enabled(refresher)
        os.write(read, b"x")
        os.read(parent_has_gone, 1)
        edit_flag(CHECKOUT, OFF, by=ADMIN, store=store)
        return True

    child = in_a_fork(write)
    os.read(child_has_read, 1)
    refresher.close()
    engine.dispose()
    os.write(gone, b"x")
    ended = psutil.Process(child).wait(timeout=20)
    afterwards = open_engine(url, Limits())
    flag = read_flag(CHECKOUT, store=SqlStore(afterwards))
    afterwards.dispose()

    assert ended == 0
    assert (flag.state.enabled, flag.state.version) == (False, 2)


@pytest.mark.usefixtures("_flag")
def test_a_child_of_a_process_whose_refresher_is_closed_starts_none(refresher: SnapshotRefresher) -> None:
    assert enabled(refresher)
    refresher.close()

    def answers_from_the_cache() -> bool:
        return enabled(refresher) and "refresher" not in [one.name for one in threading.enumerate()]

    assert psutil.Process(in_a_fork(answers_from_the_cache)).wait(timeout=20) == 0
