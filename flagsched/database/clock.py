"""The clock that counts: PostgreSQL's own, or the host's on SQLite."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

import sqlalchemy as sa

from flagsched.database.holds import EXIST, AnyHolds
from flagsched.database.schema.types import UTCDateTime
from flagsched.domain.instants import to_milliseconds

# With what else is to be known at that time, since a query of its own would take as long again.
CLOCK_NOW = sa.select(sa.func.clock_timestamp(), EXIST)
TRANSACTION_BEGAN = sa.select(sa.func.now(), EXIST)


class Clock(Protocol):
    """A clock for writers, for readers, and for use inside a statement."""

    def now(self, connection: sa.Connection, known: AnyHolds) -> datetime:
        """The time now, in full precision; `known` may learn whether there are holds by then."""

    def at_begin(self, connection: sa.Connection, known: AnyHolds) -> datetime:
        """When the transaction begins, in full precision; call it before anything else, so before its snapshot.

        `known` may learn whether there are holds in that snapshot.
        """

    def at_transaction(self) -> sa.ColumnElement[Any]:
        """When the transaction began, inside a statement; an index can serve a comparison with it."""

    def at_statement(self) -> sa.ColumnElement[Any]:
        """When the statement reads the row."""


class DatabaseClock:
    """PostgreSQL's clock, the same for every process."""

    def now(self, connection: sa.Connection, known: AnyHolds) -> datetime:
        now: datetime
        now, known.exist = connection.execute(CLOCK_NOW).one()
        return now

    def at_begin(self, connection: sa.Connection, known: AnyHolds) -> datetime:
        # `now()` is fixed at BEGIN; the snapshot comes with the first statement.
        began_at: datetime
        began_at, known.exist = connection.execute(TRANSACTION_BEGAN).one()
        return began_at

    def at_transaction(self) -> sa.ColumnElement[Any]:
        return sa.func.now()

    def at_statement(self) -> sa.ColumnElement[Any]:
        return sa.func.clock_timestamp()


class HostClock:
    """The clock of this host, or another that `read` reads; a statement takes its time when it is executed."""

    def __init__(self, read: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._read = read

    def now(self, connection: sa.Connection, known: AnyHolds) -> datetime:
        del connection, known
        return self._read()

    def at_begin(self, connection: sa.Connection, known: AnyHolds) -> datetime:
        del connection, known  # It begins its transaction with its first statement, which is still to come.
        return self._read()

    def at_transaction(self) -> sa.ColumnElement[Any]:
        return sa.bindparam("host_now", type_=UTCDateTime, callable_=lambda: to_milliseconds(self._read()))

    at_statement = at_transaction
