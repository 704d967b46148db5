"""How late a schedule shows as applied: a real worker beside a program that sleeps until each instant and writes it."""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from benchmarks import databases, seeds
from benchmarks.figures import Figure
from benchmarks.observer import Observer
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagName
from flagsched.domain.history import Actor
from flagsched.domain.schedules import PlannedChange
from flagsched.domain.updates import Updates
from flagsched.usecases.schedules import plan_schedules
from tests import processes

FLAGS = 60
BLOCKS, BLOCK_SECONDS, EACH_BLOCK = 3, 20, 100
SHORT, AHEAD, PERIOD = 100, timedelta(milliseconds=500), timedelta(milliseconds=600)
PREPARING = timedelta(seconds=3)
WANTED = "at most 3"


@dataclass(frozen=True, slots=True)
class Sides:
    """A database that our worker works on, and one for the plain program."""

    ours: sa.Engine
    plain: sa.Engine


def measure() -> list[Figure]:
    """Milliseconds, for what was planned long ago and for what is planned half a second ahead."""
    with databases.postgresql() as server:
        return [*_long_planned(server), *_planned_shortly(server)]


def _long_planned(server: sa.URL) -> list[Figure]:
    """300 schedules in three blocks of 20 seconds, in turns with as many of the plain program."""
    with _with_worker(server) as sides:
        begin = _now() + PREPARING
        plans = [
            [begin + 2 * block * _block() + offset for block in range(BLOCKS) for offset in _spread()],
            [begin + (2 * block + 1) * _block() + offset for block in range(BLOCKS) for offset in _spread()],
        ]
        seeds.plan(sides.ours, plans[0])
        ours = Observer(sides.ours, len(plans[0]))
        with _plain(sides, plans[1]) as plain:
            return _figures("planned long ago", ours, plain, plans[1][-1])


def _planned_shortly(server: sa.URL) -> list[Figure]:
    """100 schedules, each of them planned while the worker sleeps and has nothing else to do."""
    with _with_worker(server) as sides:
        begin = _now() + PREPARING
        ours = Observer(sides.ours, SHORT)
        between = [begin + n * PERIOD + AHEAD / 2 for n in range(SHORT)]
        with _plain(sides, between) as plain:
            store = SqlStore(sides.ours)
            for n in range(SHORT):
                _sleep_until(begin + n * PERIOD)
                change = PlannedChange(_now() + AHEAD, Updates(enabled=n % 2 == 0, rollout_percentage=n))
                name = FlagName("production", f"flag-{1 + n % FLAGS}")
                plan_schedules(name, [change], batch=False, by=Actor("ada", None), store=store)
            return _figures("planned 500 ms ahead", ours, plain, begin + SHORT * PERIOD)


@contextmanager
def _with_worker(server: sa.URL) -> Iterator[Sides]:
    sides = Sides(databases.fresh(server), databases.fresh(server))
    for engine in (sides.ours, sides.plain):
        seeds.idle(engine, flags=FLAGS)
    with tempfile.TemporaryDirectory() as logs, processes.worker(sides.ours.url, Path(logs) / "worker.log"):
        yield sides
    for engine in (sides.ours, sides.plain):
        engine.dispose()


@contextmanager
def _plain(sides: Sides, instants: list[datetime]) -> Iterator[Observer]:
    """The plain program, once it has read its plan."""
    seeds.plan(sides.plain, instants)
    observer = Observer(sides.plain, len(instants))
    command = [sys.executable, "-m", "benchmarks.plain_worker"]
    with (
        tempfile.TemporaryDirectory() as logs,
        processes.started(command, Path(logs) / "plain.log", processes.environment(sides.plain.url)) as running,
    ):
        running.wait_for_log("plan read")
        yield observer


def _figures(what: str, ours: Observer, plain: Observer, end: datetime) -> list[Figure]:
    mine, other = (observer.seen_by(end.timestamp()) for observer in (ours, plain))
    return [
        Figure(
            f"lateness of recording, {what}, p{percent}",
            "ms",
            _percentile(mine, percent),
            _percentile(other, percent),
            _percentile(mine, percent) / _percentile(other, percent),
            WANTED,
        )
        for percent in (50, 99)
    ]


def _percentile(ordered: list[float], percent: int) -> float:
    return ordered[len(ordered) * percent // 100 - 1]


def _spread() -> list[timedelta]:
    """Over the time of a block, never quite regular, each fifth together with the one before."""
    step = BLOCK_SECONDS * 1000 // EACH_BLOCK
    places = [n - (n % 5 == 4) for n in range(EACH_BLOCK)]
    return [timedelta(milliseconds=place * step + place * 37 % 100) for place in places]


def _block() -> timedelta:
    return timedelta(seconds=BLOCK_SECONDS)


def _now() -> datetime:
    return datetime.now(UTC)


def _sleep_until(instant: datetime) -> None:
    time.sleep(max(0.0, (instant - _now()).total_seconds()))
