"""Recording what is due by several workers at once, beside one: whether they help or hinder each other."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter

import sqlalchemy as sa

from benchmarks import databases, seeds
from benchmarks.figures import Figure, interleaved
from benchmarks.record import EACH, FLAGS, speed
from tests.processes import ROOT, environment

Recorder = subprocess.Popen[str]
ROUNDS = 9
"""More than elsewhere: with all cores at work, whatever else runs is in the way."""
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


def measure() -> list[Figure]:
    """Schedules a second with two workers and with four, each in one process."""
    with databases.postgresql() as server:
        return [_with_workers(server, number) for number in (2, 4)]


def _with_workers(server: sa.URL, number: int) -> Figure:
    engine = databases.fresh(server)
    with recorders(engine.url, number) as several:
        figure = interleaved(
            f"record, {number} workers, beside one (PostgreSQL)",
            "schedules/s",
            lambda: _together(engine, several),
            lambda: _together(engine, several[:1]),
            "at least 1.0",
            ROUNDS,
        )
    _refuse_deadlocks(engine)
    engine.dispose()
    return figure


def _together(engine: sa.Engine, workers: list[Recorder]) -> float:
    """From the word to begin until the last says that it is done."""
    seeds.due(engine, flags=FLAGS, each=EACH)
    began = perf_counter()
    for worker in workers:
        _tell(worker)
    for worker in workers:
        _hear(worker, "done")
    return speed(engine, began)


@contextmanager
def recorders(url: sa.URL, number: int) -> Iterator[list[Recorder]]:
    """So many processes that record when they are told to, started and ready."""
    with ExitStack() as stack:
        workers = [stack.enter_context(_recorder(url)) for _ in range(number)]
        for worker in workers:
            _hear(worker, "ready")
        yield workers


@contextmanager
def _recorder(url: sa.URL) -> Iterator[Recorder]:
    command = [sys.executable, "-m", "benchmarks.recorder"]
    # It ends when its input does.
    with subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=ROOT, env=environment(url), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


def _tell(worker: Recorder) -> None:
    assert worker.stdin is not None
    worker.stdin.write("record\n")
    worker.stdin.flush()


def _hear(worker: Recorder, expected: str) -> None:
    assert worker.stdout is not None
    if (said := worker.stdout.readline().strip()) != expected:
        raise RuntimeError(f"a worker said {said!r} instead of {expected!r}")


def _refuse_deadlocks(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        if deadlocks := connection.exec_driver_sql(DEADLOCKS).scalar_one():
            raise RuntimeError(f"{deadlocks} deadlocks")
