"""Evaluation in the application's process: beside the bare hash, and how often it queries the database."""

from collections.abc import Callable
from threading import current_thread, main_thread
from time import perf_counter
from typing import Any

import sqlalchemy as sa
from flask import Flask
from mmh3 import hash as murmur3

from benchmarks import databases, seeds
from benchmarks.figures import Figure, interleaved
from flagsched import FlagSched

FLAGS = 50
USERS = 4000
REQUESTS = 1000
PERCENTAGE = 50
URL = "/ofrep/v1/evaluate/flags"


def measure() -> list[Figure]:
    """Evaluations a second in one thread, and queries of requests."""
    with databases.postgresql() as server:
        engine = databases.fresh(server)
        seeds.evaluated(engine, percentages=FLAGS)
        flags = FlagSched(url=engine.url.render_as_string(hide_password=False))
        figures = [
            _beside_hash("is_enabled with a percentage", flags.is_enabled, "at least 0.33"),
            _beside_hash("evaluate with its reason", flags.evaluate, "at least 0.12"),
            _queries(engine),
        ]
        engine.dispose()
    return figures


def _beside_hash(name: str, evaluate: Callable[[str, str], object], wanted: str) -> Figure:
    calls = [(f"flag-{1 + n % FLAGS}", f"user-{n}") for n in range(FLAGS * USERS)]
    return interleaved(
        f"{name}, one thread", "a second", lambda: _rate(evaluate, calls), lambda: _bare_rate(calls), wanted
    )


def _rate(evaluate: Callable[[str, str], object], calls: list[tuple[str, str]]) -> float:
    began = perf_counter()
    for key, user in calls:
        evaluate(key, user)
    return len(calls) / (perf_counter() - began)


def _bare_rate(calls: list[tuple[str, str]]) -> float:
    below = PERCENTAGE * 100
    began = perf_counter()
    for key, user in calls:
        murmur3(f"{key}/{user}", 0, False) % 10000 < below  # noqa: B015 - the ceiling
    return len(calls) / (perf_counter() - began)


def _queries(engine: sa.Engine) -> Figure:
    """Statements in the thread of the requests; those of refreshes, in their own thread, show that they are counted."""
    app = Flask(__name__)
    FlagSched(app, engine=engine)
    client = app.test_client()
    client.post(URL, json={"context": {"targetingKey": "ada"}})
    own, others = [0], [0]

    def count(*_: Any) -> None:
        (own if current_thread() is main_thread() else others)[0] += 1

    sa.event.listen(engine, "before_cursor_execute", count)
    began = perf_counter()
    for n in range(REQUESTS):
        path = URL if n % 2 else f"{URL}/flag-{1 + n % FLAGS}"
        assert client.post(path, json={"context": {"targetingKey": f"user-{n}"}}).status_code == 200
    while not others[0] and perf_counter() < began + 5:
        client.post(URL, json={"context": {"targetingKey": "ada"}})
    sa.event.remove(engine, "before_cursor_execute", count)
    if not others[0]:
        raise RuntimeError("no refresh was counted")
    return Figure(f"queries of {REQUESTS:,} requests between refreshes", "queries", own[0], 0, own[0], "0")
