"""Measure everything, or what the arguments name."""

import sys
from collections.abc import Callable

from benchmarks import bulk, lateness, record, workers
from benchmarks.figures import Figure

BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "record": record.measure,
    "workers": workers.measure,
    "lateness": lateness.measure,
    "bulk": bulk.measure,
}

print("| figure | ours | ceiling | ratio | wanted |\n|---|---|---|---|---|", flush=True)
for name in sys.argv[1:] or BENCHMARKS:
    for figure in BENCHMARKS[name]():
        print(figure.row, flush=True)
        print(figure.line, file=sys.stderr, flush=True)
