"""Measure everything, or what the arguments name."""

import argparse
import sys
from collections.abc import Callable
from functools import partial

from benchmarks import (
    bulk,
    console,
    evaluation,
    growth,
    holds,
    lateness,
    ofrep,
    plans,
    reader,
    record,
    snapshot,
    workers,
)
from benchmarks.figures import Figure

BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "record": record.measure,
    "workers": workers.measure,
    "lateness": lateness.measure,
    "reader": reader.measure,
    "bulk": bulk.measure,
    "plans": plans.measure,
    "holds": holds.measure,
    "evaluation": evaluation.measure,
    "ofrep": ofrep.measure,
    "snapshot": snapshot.measure,
    "console": console.measure,
    "growth": growth.measure,
}

parser = argparse.ArgumentParser(prog="python3 dev.py bench", description=__doc__)
parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
parser.add_argument("--finished", type=int, default=growth.FINISHED, help="how many schedules growth has behind it")
arguments = parser.parse_args()
if unknown := set(arguments.names) - BENCHMARKS.keys():
    parser.error(f"there is no {', '.join(unknown)}")

print("| figure | ours | ceiling | ratio | wanted |\n|---|---|---|---|---|", flush=True)
BENCHMARKS["growth"] = partial(growth.measure, arguments.finished)
for name in arguments.names or BENCHMARKS:
    for figure in BENCHMARKS[name]():
        print(figure.row, flush=True)
        print(figure.line, file=sys.stderr, flush=True)
