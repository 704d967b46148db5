"""Transactions: those that only read, those that may write, and which clock each looks at."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa

from flagsched.database.answers import Answers
from flagsched.database.clock import Clock, DatabaseClock, HostClock
from flagsched.database.deadlines import WATCH, Deadline
from flagsched.database.deadlines import Connection as DriverConnection
from flagsched.database.engine import READING, insert_for, set_for_transaction
from flagsched.database.errors import AWAY, translate
from flagsched.database.flags import Flags
from flagsched.database.history import History
from flagsched.database.invariants import Invariants
from flagsched.database.schedules import Schedules
from flagsched.database.schema import check_schema
from flagsched.database.tables import environments
from flagsched.domain.errors import DatabaseUnavailable
from flagsched.domain.instants import rfc3339

CHANNEL = "flagsched"
LONGEST_SECONDS = 4.5
NO_TIMEOUTS: Mapping[str, str] = {}
READ_OPTIONS: dict[str, dict[str, Any]] = {
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    "sqlite": {READING: True},
}
# A writer sees what was committed while it waited for its lock, whatever the server's default is.
WRITE_OPTIONS: dict[str, dict[str, Any]] = {"postgresql": {"isolation_level": "READ COMMITTED"}, "sqlite": {}}


@dataclass(frozen=True, slots=True)
class SqlReading:
    """Implements `ports.Reading`."""

    flags: Flags
    schedules: Schedules
    history: History
    examiner: Invariants
    at: datetime


@dataclass(frozen=True, slots=True)
class SqlWriting:
    """Implements `ports.Writing`."""

    connection: sa.Connection
    clock: Clock
    flags: Flags
    schedules: Schedules
    history: History
    answers: Answers

    def now(self) -> datetime:
        """See `ports.Writing`."""
        return self.clock.now(self.connection)

    def publish(self, environment: str, wake_at: datetime | None = None, *, at_least: int = 1) -> int:
        """See `ports.Writing`."""
        one_more = environments.c.revision + 1
        higher = sa.case((one_more < at_least, at_least), else_=one_more)
        raised = (
            insert_for(self.connection, environments)
            .values(name=environment, revision=at_least)
            .on_conflict_do_update(index_elements=["name"], set_={"revision": higher})
            .returning(environments.c.revision)
        )
        revision: int = self.connection.execute(raised).scalar_one()
        if self.connection.dialect.name == "postgresql":
            self._notify({"environment": environment, "revision": revision, "wakeAt": wake_at and rfc3339(wake_at)})
        return revision

    def _notify(self, notice: dict[str, Any]) -> None:
        self.connection.execute(sa.select(sa.func.pg_notify(CHANNEL, json.dumps(notice))))

    def commit(self) -> None:
        """See `ports.Writing`."""
        self.connection.commit()


class SqlStore:
    """Implements `ports.Store`; the clock is the database's own on PostgreSQL, the host's on SQLite."""

    def __init__(
        self,
        engine: sa.Engine,
        clock: Clock | None = None,
        *,
        seconds: float = LONGEST_SECONDS,
        timeouts: Mapping[str, str] = NO_TIMEOUTS,
    ) -> None:
        """`seconds` is what a transaction may take, with all its waiting; then PostgreSQL is taken for gone.

        `timeouts` are PostgreSQL's own, to be set for each transaction where the connections have others.
        """
        self._seconds = seconds
        self._timeouts = timeouts
        on_sqlite = engine.dialect.name == "sqlite"
        self._clock = clock or (HostClock() if on_sqlite else DatabaseClock())
        self._writing = engine.execution_options(**WRITE_OPTIONS[engine.dialect.name])
        self._reading = engine.execution_options(**READ_OPTIONS[engine.dialect.name])

    @contextmanager
    def reading(self) -> Iterator[SqlReading]:
        """See `ports.Store`."""
        with self._connected(self._reading) as connection:
            self._limit(connection)
            at = self._clock.at_begin(connection)
            yield SqlReading(
                Flags(connection, self._clock),
                Schedules(connection),
                History(connection),
                Invariants(connection),
                at,
            )

    @contextmanager
    def writing(self) -> Iterator[SqlWriting]:
        """See `ports.Store`."""
        with self._connected(self._writing) as connection:
            connection.begin()  # SQLite takes its write lock here, before anybody looks at the clock.
            self._limit(connection)
            yield SqlWriting(
                connection,
                self._clock,
                Flags(connection, self._clock),
                Schedules(connection),
                History(connection),
                Answers(connection),
            )

    def check(self) -> None:
        """See `ports.Store`."""
        with self._connected(self._reading) as connection:
            check_schema(connection)

    @contextmanager
    def _connected(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        try:
            with WATCH.within(self._seconds) as deadline, _connect(engine) as connection:
                if engine.dialect.name == "postgresql":
                    _watch(deadline, connection)
                try:
                    yield connection
                finally:
                    # Here, where it is watched, and not in the pool, where the connection is somebody else's.
                    connection.rollback()
                    deadline.close()
        except sa.exc.SQLAlchemyError as error:
            raise translate(error) from error

    def _limit(self, connection: sa.Connection) -> None:
        if self._timeouts:
            set_for_transaction(connection, self._timeouts)


def _watch(deadline: Deadline, connection: sa.Connection) -> None:
    try:
        deadline.watch(cast("DriverConnection", connection.connection.driver_connection))
    except OSError as error:
        raise DatabaseUnavailable("this process has too many files open", str(error)) from error


def _connect(engine: sa.Engine) -> sa.Connection:
    try:
        return engine.connect()
    except sa.exc.InvalidRequestError as error:
        # The pool has given up: every connection that it made was closed again at once.
        raise DatabaseUnavailable(AWAY, str(error)) from error
