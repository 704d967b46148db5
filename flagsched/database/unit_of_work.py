"""Transactions: those that only read, those that may write, and which clock each reads."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa

from flagsched.database.clock import Clock, DatabaseClock, HostClock
from flagsched.database.connections.deadlines import DEADLINES, Deadline
from flagsched.database.connections.deadlines import Connection as DriverConnection
from flagsched.database.connections.fork_safety import SQLITE_FORK_LOCK, make_fork_safe
from flagsched.database.connections.pooler import set_for_transaction
from flagsched.database.connections.sqlite import READING
from flagsched.database.doctor import Doctor
from flagsched.database.errors import AWAY, translated
from flagsched.database.flags import Flags, FlagStatements
from flagsched.database.history import History
from flagsched.database.holds import Holds
from flagsched.database.idempotency import Idempotency
from flagsched.database.overrides import Overrides
from flagsched.database.plans import Plans
from flagsched.database.revisions import raise_revisions
from flagsched.database.schedules import Schedules
from flagsched.database.schema.revision import check_schema
from flagsched.database.snapshots import Snapshots
from flagsched.domain.errors import DatabaseReadOnly, DatabaseUnavailable
from flagsched.domain.instants import to_milliseconds

MAX_TRANSACTION_SECONDS = 4.5
NO_TIMEOUTS: Mapping[str, str] = {}
READ_OPTIONS: dict[str, dict[str, Any]] = {
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    "sqlite": {READING: True},
}
# A writer sees what was committed while it waited for its lock, whatever the server's default is.
WRITE_OPTIONS: dict[str, dict[str, Any]] = {"postgresql": {"isolation_level": "READ COMMITTED"}, "sqlite": {}}


@dataclass(frozen=True, slots=True)
class SqlReading:
    """Implements `ports.store.Reading`."""

    flags: Flags
    schedules: Schedules
    overrides: Overrides
    plans: Plans
    holds: Holds
    history: History
    doctor: Doctor
    snapshots: Snapshots
    at: datetime
    connection: sa.Connection
    clock: Clock

    def now(self) -> datetime:
        return self.clock.now(self.connection, self.holds.known)


@dataclass(frozen=True, slots=True)
class SqlWriting:
    """Implements `ports.store.Writing`."""

    connection: sa.Connection
    clock: Clock
    flags: Flags
    schedules: Schedules
    overrides: Overrides
    plans: Plans
    holds: Holds
    history: History
    idempotency: Idempotency

    def now(self) -> datetime:
        return to_milliseconds(self.clock.now(self.connection, self.holds.known))

    def publish(self, wake_at: Mapping[str, datetime | None], *, at_least: int = 1) -> Mapping[str, int]:
        return raise_revisions(self.connection, wake_at, at_least)

    def commit(self) -> None:
        self.connection.commit()


class SqlStore:
    """Implements `ports.Store`; the clock is the database's own on PostgreSQL, the host's on SQLite."""

    def __init__(
        self,
        engine: sa.Engine,
        clock: Clock | None = None,
        *,
        seconds: float = MAX_TRANSACTION_SECONDS,
        timeouts: Mapping[str, str] = NO_TIMEOUTS,
    ) -> None:
        """`seconds` is what a transaction may take, with all its waiting; then PostgreSQL is taken for gone.

        `timeouts` are PostgreSQL's own, to be set for each transaction where the connections have others.
        """
        make_fork_safe(engine)
        self._seconds = seconds
        self._timeouts = timeouts
        on_sqlite = engine.dialect.name == "sqlite"
        self._gate = SQLITE_FORK_LOCK.shared if on_sqlite else nullcontext
        self._clock = clock or (HostClock() if on_sqlite else DatabaseClock())
        self._flags = FlagStatements(engine.dialect.name, self._clock)
        self._writing = engine.execution_options(**WRITE_OPTIONS[engine.dialect.name])
        self._reading = engine.execution_options(**READ_OPTIONS[engine.dialect.name])

    @contextmanager
    def reading(self) -> Iterator[SqlReading]:
        with self._connected(self._reading) as connection:
            self._limit(connection)
            holds = Holds(connection)
            at = self._clock.at_begin(connection, holds.known)
            yield SqlReading(
                Flags(connection, self._flags, holds.known),
                Schedules(connection, holds),
                Overrides(connection),
                Plans(connection),
                holds,
                History(connection),
                Doctor(connection),
                Snapshots(connection, holds),
                at,
                connection,
                self._clock,
            )

    @contextmanager
    def writing(self) -> Iterator[SqlWriting]:
        with self._connected(self._writing) as connection:
            connection.begin()  # SQLite takes its write lock here, before the clock is read.
            self._limit(connection)
            holds = Holds(connection)
            yield SqlWriting(
                connection,
                self._clock,
                Flags(connection, self._flags, holds.known),
                Schedules(connection, holds),
                Overrides(connection),
                Plans(connection),
                holds,
                History(connection),
                Idempotency(connection),
            )

    def check(self) -> None:
        with self._connected(self._reading) as connection:
            check_schema(connection)

    @contextmanager
    def _connected(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        with translated(), self._gate(), DEADLINES.within(self._seconds) as deadline, _connect(engine) as connection:
            if engine.dialect.name == "postgresql":
                _watch(deadline, connection)
            try:
                with _ended_if_read_only(connection):
                    yield connection
            finally:
                # Here, where it is watched, and not in the pool, where another transaction may take the connection.
                connection.rollback()
                deadline.close()

    def _limit(self, connection: sa.Connection) -> None:
        if self._timeouts:
            set_for_transaction(connection, self._timeouts)


@contextmanager
def _ended_if_read_only(connection: sa.Connection) -> Iterator[None]:
    """End a connection that takes no writes any more, and all that were opened before."""
    try:
        with translated():
            yield
    except DatabaseReadOnly:
        connection.invalidate()
        # Also on a host's own engine: its other connections may well lead to the same server.
        connection.engine.dispose()
        raise


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
