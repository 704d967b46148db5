"""A large snapshot: how long one change takes to be read and published, and how much memory all of it takes."""

import gc
import tracemalloc
from collections.abc import Callable
from itertools import count
from time import monotonic, perf_counter
from typing import Any

import sqlalchemy as sa

from benchmarks import databases, seeds
from benchmarks.driver import connect
from benchmarks.figures import Figure, interleaved
from flagsched.database.unit_of_work import SqlStore
from flagsched.snapshots.cache import SnapshotCache

FLAGS, EACH, HOLDS = 10_000, 2, 1_000
ENVIRONMENT = "production"
CHANGES = 5
ROUNDS = 9
MEGABYTE = 1e6
EDIT = """
    UPDATE feature_flag_environments SET revision = revision + 1 WHERE name = 'production';
    UPDATE feature_flags SET enabled = NOT enabled, version = version + 1, changed_at = now(),
           revision = (SELECT revision FROM feature_flag_environments WHERE name = 'production')
    WHERE key = %(key)s;
"""
CHANGED = "SELECT * FROM feature_flags WHERE environment = 'production' AND revision > %(revision)s"
PLANNED = "SELECT flag_id, seq, scheduled_at, updates FROM feature_flag_schedules WHERE flag_id = %(id)s"
ROWS = """
    SELECT id, key, enabled, rollout_percentage, description, version, revision, changed_at, created_at
    FROM feature_flags
"""
PLANNED_ROWS = "SELECT flag_id, seq, scheduled_at, updates FROM feature_flag_schedules"


class Refreshed:
    """A snapshot cache that is refreshed in the calling thread."""

    def __init__(self, engine: sa.Engine) -> None:
        self._cache = SnapshotCache(SqlStore(engine), monotonic)

    def refresh(self) -> None:
        """Refresh the cache; raises what was wrong."""
        self._cache.refresh()
        if self._cache.problem:
            raise self._cache.problem

    @property
    def revision(self) -> int:
        """The revision of the cached snapshot."""
        return self._cache.snapshots[ENVIRONMENT].effective.snapshot.revision


def measure() -> list[Figure]:
    """Milliseconds and megabytes."""
    with databases.postgresql() as server:
        engine = databases.fresh(server)
        seeds.planned(engine, flags=FLAGS, each=EACH)
        driver = connect(engine.url)
        driver.autocommit = True
        name = f"{FLAGS:,} flags with {FLAGS * EACH:,} schedules"
        figures = [_reload(name, engine, driver), _memory(name, engine, driver)]
        seeds.holds(engine, HOLDS)
        name = f"{name} and {HOLDS:,} holds"
        figures += [_reload(name, engine, driver), _memory(name, engine, driver)]
        driver.close()
        engine.dispose()
    return figures


def _reload(name: str, engine: sa.Engine, driver: Any) -> Figure:
    cache = _refreshed(engine)
    flags = count(1)

    def refresh() -> None:
        before = cache.revision
        cache.refresh()
        assert cache.revision == before + 1

    def ours() -> float:
        cache.refresh()  # What was changed for the ceiling.
        return _milliseconds(driver, flags, refresh)

    return interleaved(
        f"reload of one change, {name}",
        "ms",
        ours,
        lambda: _milliseconds(driver, flags, lambda: _read_changed(driver)),
        "at most 5 ms",
        ROUNDS,
    )


def _milliseconds(driver: Any, flags: "count[int]", refresh: Callable[[], None]) -> float:
    """Of one refresh, each after an edit of another flag."""
    spent = 0.0
    for _ in range(CHANGES):
        with driver.cursor() as cursor:
            cursor.execute(EDIT, {"key": f"flag-{next(flags)}"})
        began = perf_counter()
        refresh()
        spent += perf_counter() - began
    return spent * 1000 / CHANGES


def _read_changed(driver: Any) -> None:
    """Read what the edit has changed, and build nothing from it."""
    with driver.cursor() as cursor:
        cursor.execute("SELECT name, revision FROM feature_flag_environments")
        cursor.execute(CHANGED, {"revision": cursor.fetchone()[1] - 1})
        cursor.execute(PLANNED, {"id": cursor.fetchone()[0]})
        cursor.fetchall()


def _memory(name: str, engine: sa.Engine, driver: Any) -> Figure:
    ours = _megabytes(lambda: _refreshed(engine))
    rows = _megabytes(lambda: _rows(driver))
    return Figure(f"memory of a snapshot, {name}", "MB", ours, rows, ours / rows, "at most 60 MB")


def _megabytes(make: Callable[[], object]) -> float:
    """What a call's value occupies; a call before it allocates what only a first one needs."""
    make()
    gc.collect()
    tracemalloc.start()
    try:
        kept = make()
        gc.collect()
        size = tracemalloc.get_traced_memory()[0]
        del kept
    finally:
        tracemalloc.stop()
    return size / MEGABYTE


def _refreshed(engine: sa.Engine) -> Refreshed:
    cache = Refreshed(engine)
    cache.refresh()
    return cache


def _rows(driver: Any) -> list[list[tuple[Any, ...]]]:
    with driver.cursor() as cursor:
        cursor.execute(ROWS)
        flags = cursor.fetchall()
        cursor.execute(PLANNED_ROWS)
        return [flags, cursor.fetchall()]
