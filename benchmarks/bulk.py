"""Bulks of 50 over HTTP: our route beside a Flask handler with one INSERT, each in one gunicorn of eight threads."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa

from benchmarks import databases, seeds
from benchmarks.clients import Clients, post
from benchmarks.figures import Figure, interleaved
from tests import processes

FLAGS = 3000
"""Of each side: so many that none comes to the 1,000 pending schedules that it may have."""
BATCH = 50
ROUND_SECONDS = 3.0
WANTED = {1: "at least 0.4", 8: "at least 0.3"}
UNLIMITED = {"FLAGSCHED_WRITES_PER_MINUTE": "10000000"}


def measure() -> list[Figure]:
    """Requests a second, with one client and with eight."""
    with databases.postgresql() as server:
        return [_with_clients(server, number) for number in WANTED]


def _with_clients(server: sa.URL, number: int) -> Figure:
    engine = databases.fresh(server)
    seeds.idle(engine, flags=2 * FLAGS)
    mine = _requests("/api/admin/flags/flag-{}/schedule/bulk", range(1, FLAGS + 1))
    others = _requests("/plain/flag-{}", range(FLAGS + 1, 2 * FLAGS + 1))
    with _serving(engine.url) as (ours, plain), Clients(number) as clients:
        figure = interleaved(
            f"bulk of {BATCH} over HTTP, {number} client{'s' if number > 1 else ''}",
            "requests/s",
            lambda: clients.requests_per_second(ours, mine, ROUND_SECONDS),
            lambda: clients.requests_per_second(plain, others, ROUND_SECONDS),
            WANTED[number],
        )
    engine.dispose()
    return figure


@contextmanager
def _serving(url: sa.URL) -> Iterator[tuple[int, int]]:
    """Our app and the plain one; gives their ports."""
    with (
        tempfile.TemporaryDirectory() as logs,
        processes.web(url, Path(logs) / "ours.log", **UNLIMITED) as ours,
        processes.web(url, Path(logs) / "plain.log", arguments=("-m", "gunicorn", "benchmarks.plain_app:app")) as plain,
    ):
        yield _port(ours), _port(plain)


def _requests(path: str, flags: Iterable[int]) -> list[bytes]:
    headers = {"Authorization": f"Bearer {processes.a_token()}", "Content-Type": "application/json"}
    return [post(path.format(flag), headers, _body()) for flag in flags]


def _body() -> bytes:
    """A plan of fifty steps, from tomorrow on."""
    first = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    changes = [
        {
            "scheduledAt": (first + timedelta(minutes=n)).isoformat(),
            "updates": {"enabled": n % 2 == 0, "rolloutPercentage": n},
        }
        for n in range(BATCH)
    ]
    return json.dumps({"schedules": changes}).encode()


def _port(address: str) -> int:
    port = urlsplit(address).port
    assert port is not None
    return port
