"""Databases for tests: migrated, and empty when a test begins."""

import uuid
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.schema import migrations

EMPTY = """
    ALTER TABLE feature_flag_history DISABLE TRIGGER USER;
    DELETE FROM feature_flag_history; DELETE FROM feature_flag_schedules; DELETE FROM feature_flag_overrides;
    DELETE FROM feature_flag_holds;
    DELETE FROM feature_flags; DELETE FROM feature_flag_plans;
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


class CompiledStatements(dict[tuple[Any, ...], Any]):
    """SQLAlchemy's cache of compiled statements, shared by all engines of one kind: compiling takes long."""

    def get(self, key: tuple[Any, ...], default: Any = None) -> Any:
        return super().get(self._of_kind(key), default)

    def __setitem__(self, key: tuple[Any, ...], compiled: Any) -> None:
        super().__setitem__(self._of_kind(key), compiled)

    def _of_kind(self, key: tuple[Any, ...]) -> tuple[Any, ...]:
        dialect, *statement = key
        return (dialect.name, *statement)


class PostgresqlDatabases:
    """Lends one database after the other: the same, emptied, unless the last test changed its schema."""

    def __init__(self, server: sa.URL) -> None:
        self._server = server
        self._lent: sa.Engine | None = None
        self._shape: object = None

    def lend(self) -> sa.URL:
        """An empty, migrated database."""
        if self._lent is None:
            name = f"test_{uuid.uuid4().hex}"
            administer(self._server, f"CREATE DATABASE {name}")
            url = self._server.set(database=name)
            migrate(url)
            # A test may end all of the server's connections.
            self._lent = sa.create_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
            self._shape = self._look()
        return self._lent.url

    def take_back(self) -> None:
        """Empty it for the next test, or drop it."""
        assert self._lent is not None
        if self._look() == self._shape:
            with self._lent.connect() as connection:
                connection.exec_driver_sql(EMPTY)
        else:
            self._lent.dispose()
            administer(self._server, f"DROP DATABASE {self._lent.url.database} WITH (FORCE)")
            self._lent = None

    def _look(self) -> object:
        assert self._lent is not None
        with self._lent.connect() as connection:
            return connection.exec_driver_sql(SHAPE).one()
