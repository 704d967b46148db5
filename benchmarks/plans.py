"""A plan of 200 changes over 20 flags through HTTP, beside four bulks of 50 in turn, in one gunicorn process."""

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import databases, seeds
from benchmarks.clients import Clients, post
from benchmarks.figures import Figure, interleaved
from tests import processes

FLAGS = 4000
"""Of each side: so many that none comes to the 1,000 pending schedules that it may have."""
CHANGES, PLAN_FLAGS, BULK = 200, 20, 50
BULKS = CHANGES // BULK
ROUND_SECONDS = 4.0
UNLIMITED = {"FLAGSCHED_WRITES_PER_MINUTE": "10000000"}


def measure() -> list[Figure]:
    """Plans a second, with one client; four bulks count as one."""
    with databases.postgresql() as server, tempfile.TemporaryDirectory() as logs:
        engine = databases.fresh(server)
        seeds.idle(engine, flags=2 * FLAGS)
        with processes.web(engine.url, Path(logs) / "web.log", **UNLIMITED) as address, Clients(1) as clients:
            port = urlsplit(address).port
            assert port is not None
            plans, bulks = _plans(), _bulks()
            figure = interleaved(
                f"plan of {CHANGES} over {PLAN_FLAGS} flags beside {BULKS} bulks of {BULK} in turn",
                "plans/s",
                lambda: clients.requests_per_second(port, plans, ROUND_SECONDS),
                lambda: clients.requests_per_second(port, bulks, ROUND_SECONDS) / BULKS,
                "at least 0.77 (1.3 times as long)",
            )
        engine.dispose()
    return [figure]


def _plans() -> list[bytes]:
    keys = [f"flag-{n}" for n in range(1, FLAGS + 1)]
    sets = [keys[n : n + PLAN_FLAGS] for n in range(0, FLAGS, PLAN_FLAGS)]
    return [_post("/api/admin/plans", {"changes": _changes(flags)}) for flags in sets]


def _changes(flags: list[str]) -> list[dict[str, object]]:
    steps = CHANGES // len(flags)
    return [{"flagKey": flag} | _change(n) for n in range(steps) for flag in flags]


def _bulks() -> list[bytes]:
    body = {"schedules": [_change(n) for n in range(BULK)]}
    return [_post(f"/api/admin/flags/flag-{n}/schedule/bulk", body) for n in range(FLAGS + 1, 2 * FLAGS + 1)]


def _change(number: int) -> dict[str, object]:
    """The step of this number, from tomorrow on."""
    first = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    at = (first + timedelta(minutes=number)).isoformat()
    return {"scheduledAt": at, "updates": {"enabled": number % 2 == 0, "rolloutPercentage": number}}


def _post(path: str, body: object) -> bytes:
    headers = {"Authorization": f"Bearer {processes.a_token()}", "Content-Type": "application/json"}
    return post(path, headers, json.dumps(body).encode())
