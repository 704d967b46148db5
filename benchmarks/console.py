"""Pages of the console over many flags: what a person waits for, beside the API's list of the same flags."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import requests

from benchmarks import databases, seeds
from benchmarks.figures import Figure, interleaved
from tests.processes import a_token, web

FLAGS, EACH = 1000, 5
TRIES = 5
PAGES = {
    "what is coming": "?range=month",
    "a flag": "flags/flag-500",
    "history": "history",
}
WANTED = "at most 300 ms"


def measure() -> list[Figure]:
    """Milliseconds of each page; the ceiling is a page of the API's list of flags."""
    with databases.postgresql() as server, tempfile.TemporaryDirectory() as logs:
        engine = databases.fresh(server)
        seeds.planned(engine, flags=FLAGS, each=EACH)
        with web(engine.url, Path(logs) / "web.log") as address, requests.Session() as person:
            person.cookies.set("flagsched_session", a_token())
            headers = {"Authorization": f"Bearer {a_token()}"}

            def listed() -> float:
                return _milliseconds(lambda: person.get(f"{address}/api/admin/flags?limit=100", headers=headers))

            figures = [
                interleaved(
                    f"console, {name}, {FLAGS:,} flags with {FLAGS * EACH:,} schedules",
                    "ms",
                    lambda path=path: _milliseconds(lambda: person.get(f"{address}/console/{path}")),  # type: ignore[misc]
                    listed,
                    WANTED,
                )
                for name, path in PAGES.items()
            ]
        engine.dispose()
    return figures


def _milliseconds(send: Callable[[], requests.Response]) -> float:
    return median(_one(send) for _ in range(TRIES))


def _one(send: Callable[[], requests.Response]) -> float:
    began = perf_counter()
    answer = send()
    took = (perf_counter() - began) * 1000
    answer.raise_for_status()
    assert "sign-in" not in answer.url
    return took
