"""PostgreSQL: connections that are opened to a primary, and pinged before they are used again."""

import select
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any

import psycopg2
import sqlalchemy as sa

from flagsched.database.connections.deadlines import DEADLINES
from flagsched.database.connections.pooler import POOLED, set_behind_pooler
from flagsched.database.connections.primary import TAKES_WRITES, combined, each_host, refuse_unless_primary

USED_AT = "flagsched_used_at"
NEVER = float("-inf")
FRESH_SECONDS = 1.5
"""How long after its last use a connection is not pinged: longer than a worker sleeps."""


def prepare_postgresql(engine: sa.Engine, *, ping_seconds: float, settings: Mapping[str, str]) -> None:
    """Use connections to a primary alone, and none to a server that does not answer; `settings` hold everywhere."""
    sa.event.listen(engine, "do_connect", partial(_open, ping_seconds))
    sa.event.listen(engine, "connect", _limit_first_queries, insert=True)
    sa.event.listen(engine, "checkout", partial(_ping_if_in_doubt, ping_seconds))
    sa.event.listen(engine, "checkin", _note_use)
    sa.event.listen(engine, "begin", partial(set_behind_pooler, settings))


def _open(seconds: float, dialect: sa.Dialect, record: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
    # Not libpq's target_session_attrs: it trusts what a pooler reports, which may be of an earlier server.
    errors = []
    for one in each_host(named):
        try:
            connection: Any = dialect.connect(*arguments, **one)
            record.info.update({POOLED: _ping(seconds, connection), USED_AT: monotonic()})
        except psycopg2.OperationalError as error:
            errors.append(error)
        else:
            return connection
    raise combined(errors)


def _limit_first_queries(connection: Any, record: object) -> None:
    # SQLAlchemy queries an engine's first connection, and a pooler accepts one while its server is frozen.
    del record
    with suppress(OSError):  # Too many open files: the ping reports it.
        DEADLINES.watch(connection)


def _note_use(connection: Any, record: Any) -> None:
    del connection
    record.info[USED_AT] = monotonic()


def _ping_if_in_doubt(seconds: float, connection: Any, record: Any, *_: object) -> None:
    unused_seconds = monotonic() - record.info.get(USED_AT, NEVER)
    if unused_seconds > FRESH_SECONDS or _has_unread_data(connection) or _is_read_only(connection, record):
        try:
            record.info[POOLED] = _ping(seconds, connection)
        except psycopg2.Error as error:
            raise sa.exc.InvalidatePoolError from error


def _has_unread_data(connection: Any) -> bool:
    # Between transactions, a server sends nothing but that it hangs up.
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _is_read_only(connection: Any, record: Any) -> bool:
    # The server reports a change of this setting. A pooler repeats the report of its first connection: behind it, each
    # transaction queries the setting.
    setting = connection.info.parameter_status("default_transaction_read_only")
    return setting == "on" and not record.info.get(POOLED)


def _ping(seconds: float, connection: Any) -> bool:
    """Check, in one round trip, that the server answers and takes writes; does a pooler stand before it?

    SQLAlchemy's own ping would wait for a frozen server without end. Raises psycopg2's errors, among them NotPrimary.
    """
    try:
        with DEADLINES.within(seconds) as deadline:
            deadline.watch(connection)
            # Else the driver takes two statements to reset what the last transaction's BEGIN set.
            connection.set_session(isolation_level="DEFAULT", readonly="DEFAULT")
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {TAKES_WRITES}, pg_backend_pid()")
                primary, writable, backend_pid = cursor.fetchone()
            connection.autocommit = False
        refuse_unless_primary(primary, writable)
    except OSError as error:
        raise psycopg2.OperationalError("this process has too many files open") from error
    # A pooler makes up the number that it gives a client for cancelling, since one server connection serves many.
    return bool(backend_pid != connection.info.backend_pid)
