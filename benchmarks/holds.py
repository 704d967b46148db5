"""Holds of an environment of ten thousand flags: how long one takes, and how long others wait meanwhile."""

from multiprocessing import get_context
from threading import Event
from time import perf_counter
from typing import Any

import sqlalchemy as sa

from benchmarks import databases, seeds
from benchmarks.driver import connect
from benchmarks.figures import Figure, interleaved
from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagEdit, FlagName, NewFlag
from flagsched.domain.history import Actor
from flagsched.domain.holds import NewHold
from flagsched.domain.updates import Updates
from flagsched.usecases.flags import create_flag, edit_flag
from flagsched.usecases.holds import hold_environment, release_hold

FLAGS, EACH = 10_000, 2
BY = Actor("ada")
ELSEWHERE = FlagName("staging", "elsewhere")
ON = FlagEdit(Updates(enabled=True))
EDITS = 20
WRITE_ALL = """
    BEGIN;
    SELECT id FROM feature_flags WHERE environment = 'production' ORDER BY id FOR NO KEY UPDATE;
    UPDATE feature_flag_environments SET revision = revision + 1 WHERE name = 'production';
    UPDATE feature_flags SET next_due_at = next_due_at + interval '1 hour', revision = revision + 1
    WHERE environment = 'production';
    COMMIT;
"""


def measure() -> list[Figure]:
    """Milliseconds, of each placing and of the longest edit in another environment."""
    with databases.postgresql() as server:
        engine = databases.fresh(server)
        seeds.planned(engine, flags=FLAGS, each=EACH)
        store = SqlStore(engine)
        create_flag(NewFlag(ELSEWHERE), by=BY, store=store)
        driver = connect(engine.url)
        driver.autocommit = True
        figures = [_placing(store, driver), _waiting(store, engine.url)]
        driver.close()
        engine.dispose()
    return figures


def _placing(store: SqlStore, driver: Any) -> Figure:
    def ceiling() -> float:
        began = perf_counter()
        with driver.cursor() as cursor:
            cursor.execute(WRITE_ALL)
        return (perf_counter() - began) * 1000

    name = f"hold of an environment, {FLAGS:,} flags with {FLAGS * EACH:,} schedules"
    return interleaved(name, "ms", lambda: _held(store), ceiling, "under 1,000 ms")


def _held(store: SqlStore) -> float:
    """How long it takes to place a hold; it is released afterwards."""
    began = perf_counter()
    placed = hold_environment("production", NewHold("it burns"), by=BY, store=store)
    took = (perf_counter() - began) * 1000
    release_hold(placed.hold.id, by=BY, store=store)
    return took


def _waiting(store: SqlStore, url: sa.URL) -> Figure:
    def beside() -> float:
        spawned = get_context("spawn")
        begun, over = spawned.Event(), spawned.Event()
        holding = spawned.Process(target=_hold_again_and_again, args=(url, begun, over))
        holding.start()
        begun.wait()
        longest = _longest_edit(store)
        over.set()
        holding.join()
        return longest

    name = "longest of 20 edits in another environment while one is held again and again"
    return interleaved(name, "ms", beside, lambda: _longest_edit(store), "at most 3")


def _hold_again_and_again(url: sa.URL, begun: Any, over: Any) -> None:
    """In a process of its own."""
    store = SqlStore(open_engine(url, Limits()))
    begun.set()
    while not over.is_set():
        _held(store)


def _longest_edit(store: SqlStore) -> float:
    took = []
    for _ in range(EDITS):
        began = perf_counter()
        edit_flag(ELSEWHERE, ON, by=BY, store=store)
        took.append((perf_counter() - began) * 1000)
        Event().wait(0.05)
    return max(took)
