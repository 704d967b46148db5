"""Databases for tests: migrated, and empty when a test begins."""

import uuid
from pathlib import Path

import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.schema import migrations

EMPTY = """
    ALTER TABLE feature_flag_history DISABLE TRIGGER USER;
    DELETE FROM feature_flag_history; DELETE FROM feature_flag_schedules; DELETE FROM feature_flag_overrides;
    DELETE FROM feature_flags;
    DELETE FROM feature_flag_environments; DELETE FROM feature_flag_idempotency;
    ALTER TABLE feature_flag_history ENABLE TRIGGER USER;
"""
# Whatever a test does to the schema makes or drops one of these.
SHAPE = """
    SELECT (SELECT version_num FROM flagsched_alembic_version),
           (SELECT array_agg(tgname ORDER BY tgname) FROM pg_trigger),
           (SELECT array_agg(relname ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
           (SELECT array_agg(relname || '.' || attname ORDER BY relname, attname)
            FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
            WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped),
           (SELECT array_agg(proname ORDER BY proname) FROM pg_proc WHERE pronamespace = 'public'::regnamespace)
"""


def connect(url: sa.URL) -> sa.Connection:
    """A connection of its own, outside transactions."""
    return sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool).connect()


def administer(url: sa.URL, *statements: str) -> None:
    """Run statements outside a transaction."""
    with connect(url) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def socket_of(url: sa.URL) -> Path:
    """Where the server listens that `url` leads to."""
    (socket,) = [path for path in Path(str(url.query["host"])).glob(".s.PGSQL.*") if path.suffix != ".lock"]
    return socket


def migrate(url: sa.URL) -> None:
    """Bring a new database to the newest schema."""
    engine = open_engine(url, Limits())
    migrations.upgrade(engine)
    engine.dispose()


class PostgresqlDatabases:
    """Lends one database after the other: the same, emptied, unless the last test changed its schema."""

    def __init__(self, server: sa.URL) -> None:
        self._server = server
        self._lent: sa.URL | None = None
        self._shape: object = None

    def lend(self) -> sa.URL:
        """An empty, migrated database."""
        if self._lent is None:
            name = f"test_{uuid.uuid4().hex}"
            administer(self._server, f"CREATE DATABASE {name}")
            self._lent = self._server.set(database=name)
            migrate(self._lent)
            with connect(self._lent) as connection:
                self._shape = connection.exec_driver_sql(SHAPE).one()
        return self._lent

    def take_back(self) -> None:
        """Empty it for the next test, or drop it."""
        assert self._lent is not None
        with connect(self._lent) as connection:
            unchanged = connection.exec_driver_sql(SHAPE).one() == self._shape
            if unchanged:
                connection.exec_driver_sql(EMPTY)
        if not unchanged:
            administer(self._server, f"DROP DATABASE {self._lent.database} WITH (FORCE)")
            self._lent = None
