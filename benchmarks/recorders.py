"""Workers in processes of their own, which all record what is due at once."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import perf_counter

import sqlalchemy as sa

from benchmarks import seeds
from tests.processes import ROOT, environment

FLAGS, EACH = 100, 100
Recorder = subprocess.Popen[str]


def together(engine: sa.Engine, workers: Sequence[Recorder]) -> float:
    """Schedules a second, from the start signal until the last worker is done."""
    seeds.due(engine, flags=FLAGS, each=EACH)
    began = perf_counter()
    for worker in workers:
        _start(worker)
    for worker in workers:
        _wait_for(worker, "done")
    return speed(engine, began)


def speed(engine: sa.Engine, began: float) -> float:
    """How many schedules a second were recorded since `began`; RuntimeError if not all of them."""
    seconds = perf_counter() - began
    if (left := seeds.left(engine)) > 0:
        raise RuntimeError(f"{left} schedules were not recorded")
    return FLAGS * EACH / seconds


@contextmanager
def recorders(url: sa.URL, number: int) -> Iterator[list[Recorder]]:
    """So many processes that wait for the start signal."""
    with ExitStack() as stack:
        workers = [stack.enter_context(_recorder(url)) for _ in range(number)]
        for worker in workers:
            _wait_for(worker, "ready")
        yield workers


@contextmanager
def _recorder(url: sa.URL) -> Iterator[Recorder]:
    command = [sys.executable, "-m", "benchmarks.recorder"]
    # It ends when its input does.
    with subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=ROOT, env=environment(url), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


def _start(worker: Recorder) -> None:
    assert worker.stdin is not None
    worker.stdin.write("record\n")
    worker.stdin.flush()


def _wait_for(worker: Recorder, expected: str) -> None:
    assert worker.stdout is not None
    if (line := worker.stdout.readline().strip()) != expected:
        raise RuntimeError(f"a worker printed {line!r} instead of {expected!r}")
