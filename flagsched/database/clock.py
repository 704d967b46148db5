"""Which clock says what the time is: PostgreSQL's own, or the host's on SQLite."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import sqlalchemy as sa

from flagsched.database.schema.types import UTCDateTime
from flagsched.domain.instants import to_milliseconds

CLOCK_NOW = sa.select(sa.func.clock_timestamp())
TRANSACTION_BEGAN = sa.select(sa.func.now())


class Clock(Protocol):
    """A clock for writers, for readers, and for use inside a statement."""

    def now(self, connection: sa.Connection) -> datetime:
        """The time now, to the millisecond."""

    def exactly(self, connection: sa.Connection) -> datetime:
        """The time now, as exactly as the clock tells."""

    def at_begin(self, connection: sa.Connection) -> datetime:
        """The time at which the transaction begins: the first thing asked of a connection, before its snapshot.

        As exact as the clock is, and not to the millisecond: whoever waits for an instant needs it so.
        """

    def at_transaction(self) -> sa.ColumnElement[Any]:
        """The time at which the transaction began, inside a statement; an index can serve a comparison with it."""

    def at_statement(self) -> sa.ColumnElement[Any]:
        """The time at which the database looks at the row."""


class DatabaseClock:
    """PostgreSQL's clock, the same for every process."""

    def now(self, connection: sa.Connection) -> datetime:
        """In a statement of its own."""
        return to_milliseconds(self.exactly(connection))

    def exactly(self, connection: sa.Connection) -> datetime:
        """See `Clock`."""
        told: datetime = connection.execute(CLOCK_NOW).scalar_one()
        return told

    def at_begin(self, connection: sa.Connection) -> datetime:
        """`now()` is fixed at BEGIN; the snapshot comes with the first statement after it."""
        begun: datetime = connection.execute(TRANSACTION_BEGAN).scalar_one()
        return begun

    def at_transaction(self) -> sa.ColumnElement[Any]:
        """See `Clock`."""
        return sa.func.now()

    def at_statement(self) -> sa.ColumnElement[Any]:
        """See `Clock`."""
        return sa.func.clock_timestamp()


class HostClock:
    """The clock of this host, or any other that `read` gives; inside a statement, as it is when that is executed."""

    def __init__(self, read: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._read = read

    def now(self, connection: sa.Connection) -> datetime:
        """See `Clock`."""
        return to_milliseconds(self.exactly(connection))

    def exactly(self, connection: sa.Connection) -> datetime:
        """See `Clock`."""
        del connection
        return self._read()

    def at_begin(self, connection: sa.Connection) -> datetime:
        """The connection begins its transaction with its first statement: this is before it."""
        del connection
        return self._read()

    def at_transaction(self) -> sa.ColumnElement[Any]:
        """See `Clock`."""
        return sa.bindparam("host_now", type_=UTCDateTime, callable_=lambda: to_milliseconds(self._read()))

    at_statement = at_transaction
