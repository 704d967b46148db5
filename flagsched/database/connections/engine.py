"""Opening a database: URLs as hosts write them, timeouts, and what SQLite must be told."""

import os
import select
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg2
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from flagsched.database.connections.deadlines import WATCH
from flagsched.database.connections.primary import TAKES_WRITES, each_host, refuse_unless_primary, summed_up
from flagsched.database.connections.url import database_url as database_url  # noqa: PLC0414 - both are needed to open one
from flagsched.database.connections.url import server_settings

BUSY_SECONDS = 3
OWNER_ALONE = 0o600
MAX_WAL_BYTES = 64 * 2**20
"""What a long reader let the -wal file grow beyond is cut off once it is written from the beginning again."""
READING = "flagsched_reading"
USED_AT = "flagsched_used_at"
NEVER = float("-inf")
FRESH_SECONDS = 1.5
"""For how long a connection that was used is not asked whether it still works: longer than a worker sleeps."""
POOLED = "flagsched_pooled"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for the database, in seconds, and how many connections to hold."""

    connect_seconds: int = 2
    ping_seconds: float = 1.0
    pool_seconds: float = 1.5
    statement_seconds: int = 4
    idle_in_transaction_seconds: int = 10
    pool_size: int = 5
    pool_overflow: int = 10


def engine_options(url: sa.URL, limits: Limits) -> dict[str, Any]:
    """The keyword arguments of `create_engine` for this URL."""
    options: dict[str, Any] = {
        "pool_size": limits.pool_size,
        "max_overflow": limits.pool_overflow,
        "pool_timeout": limits.pool_seconds,
    }
    if url.get_backend_name() == "sqlite":
        return options | {"connect_args": {"timeout": BUSY_SECONDS}}
    return options | {"connect_args": _beside(url, _postgresql_arguments(limits))}


def _beside(url: sa.URL, ours: Mapping[str, Any]) -> dict[str, Any]:
    """Our connect arguments, unless the URL sets them; its options stand before ours, and set none of them."""
    options = " ".join([str(url.query.get("options", "")), ours["options"]]).strip()
    return {name: value for name, value in ours.items() if name not in url.query} | {"options": options}


def timeouts(limits: Limits) -> dict[str, str]:
    """PostgreSQL's own, by the names of its settings."""
    return {
        "lock_timeout": f"{BUSY_SECONDS}s",
        "statement_timeout": f"{limits.statement_seconds}s",
        "idle_in_transaction_session_timeout": f"{limits.idle_in_transaction_seconds}s",
    }


def set_for_transaction(connection: sa.Connection, timeouts: Mapping[str, str]) -> None:
    """Tell PostgreSQL for this transaction what it is told for a whole connection otherwise.

    Raises NotPrimary: behind a pooler, the server may change after the connection was opened.
    """
    told = {"TimeZone": "UTC"} | dict(timeouts)
    settings = ", ".join(["set_config(%s, %s, true)"] * len(told))
    given = tuple(chain.from_iterable(told.items()))
    primary, writable, *_ = connection.exec_driver_sql(f"SELECT {TAKES_WRITES}, {settings}", given).one()
    refuse_unless_primary(primary, writable)


def is_pooled(engine: sa.Engine) -> bool:
    """Does a pooler stand before the database?"""
    with engine.connect() as connection:
        return bool(connection.info.get(POOLED))


def _postgresql_arguments(limits: Limits) -> dict[str, Any]:
    return {
        "connect_timeout": limits.connect_seconds,
        "application_name": "flagsched",
        # East of UTC the server would write the calendar's last hours as year 10000, which the driver can't read.
        "options": " ".join(["-c timezone=UTC", *(f"-c {name}={value}" for name, value in timeouts(limits).items())]),
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 8000,
    }


def prepare(engine: sa.Engine, limits: Limits) -> sa.Engine:
    """Have SQLite begin transactions as we say, and PostgreSQL's connections looked at before they are used."""
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "do_connect", _refuse_missing)
        sa.event.listen(engine, "connect", _open_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    else:
        sa.event.listen(engine, "do_connect", partial(_open_primary, limits.ping_seconds))
        sa.event.listen(engine, "connect", _watch_from_the_first, insert=True)
        sa.event.listen(engine, "checkout", partial(_look_at, limits.ping_seconds))
        sa.event.listen(engine, "checkin", _note_use)
        sa.event.listen(
            engine, "begin", partial(_limit_behind_a_pooler, server_settings(engine.url) | timeouts(limits))
        )
    return engine


def open_engine(url: sa.URL, limits: Limits) -> sa.Engine:
    """An engine that connects when it is first used: so it may be opened before a fork."""
    return prepare(sa.create_engine(url, **engine_options(url, limits)), limits)


def insert_for(dialect: str, table: sa.Table) -> Any:
    """An INSERT of the dialect, which knows ON CONFLICT; typed loosely, since there are two of them."""
    return (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)


def _watch_from_the_first(connection: Any, record: object) -> None:
    # SQLAlchemy asks the first connection this and that, and a pooler took it though the server may be frozen.
    del record
    with suppress(OSError):  # Too many open files: the ping says so.
        WATCH.watch(connection)


def _note_use(connection: Any, record: Any) -> None:
    del connection
    record.info[USED_AT] = monotonic()


def _open_primary(seconds: float, dialect: sa.Dialect, record: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
    # Not libpq's target_session_attrs: it believes what a pooler was told of its server at some time before.
    refusals = []
    for one in each_host(named):
        try:
            connection: Any = dialect.connect(*arguments, **one)
            record.info.update({POOLED: _ask(seconds, connection), USED_AT: monotonic()})
        except psycopg2.OperationalError as error:
            refusals.append(error)
        else:
            return connection
    raise summed_up(refusals)


def _look_at(seconds: float, connection: Any, record: Any, *_: object) -> None:
    unused_seconds = monotonic() - record.info.get(USED_AT, NEVER)
    if unused_seconds > FRESH_SECONDS or _has_word(connection) or _may_write_no_more(connection, record):
        try:
            record.info[POOLED] = _ask(seconds, connection)
        except psycopg2.Error as error:
            raise sa.exc.InvalidatePoolError from error


def _has_word(connection: Any) -> bool:
    # A server says nothing between transactions but that it hangs up.
    looked_at = select.poll()
    looked_at.register(connection, select.POLLIN)
    return bool(looked_at.poll(0))


def _may_write_no_more(connection: Any, record: Any) -> bool:
    # The server reports a change of this setting. A pooler repeats what its first connection said: behind it, each
    # transaction asks.
    told = connection.info.parameter_status("default_transaction_read_only")
    return told == "on" and not record.info.get(POOLED)


def _ask(seconds: float, connection: Any) -> bool:
    """Ask the server, in one round trip, whether it answers and takes writes; give whether a pooler stands before it.

    SQLAlchemy's own ping would wait for a frozen server without end. Raises psycopg2's errors, among them NotPrimary.
    """
    try:
        with WATCH.within(seconds) as deadline:
            deadline.watch(connection)
            # Else the driver takes back, with two statements, what the last transaction's BEGIN said.
            connection.set_session(isolation_level="DEFAULT", readonly="DEFAULT")
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {TAKES_WRITES}, pg_backend_pid()")
                primary, writable, pid = cursor.fetchone()
            connection.autocommit = False
        refuse_unless_primary(primary, writable)
    except OSError as error:
        raise psycopg2.OperationalError("this process has too many files open") from error
    # A pooler makes up the number that a client is given for cancelling, since it serves many with one connection.
    return bool(pid != connection.info.backend_pid)


def _limit_behind_a_pooler(timeouts: Mapping[str, str], connection: sa.Connection) -> None:
    # What was asked for at the start did not reach the connection that this transaction has.
    if connection.info[POOLED]:
        set_for_transaction(connection, timeouts)


def make_file(engine: sa.Engine) -> None:
    """Make SQLite's file, empty and for its owner alone, if there is none: for the migrations that make the tables.

    SQLite gives its -wal and -shm the mode of this file.
    """
    if engine.dialect.name != "sqlite":
        return
    with suppress(FileExistsError):
        made = os.open(str(engine.url.database), os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ALONE)
        os.fchmod(made, OWNER_ALONE)  # Whatever the umask took away.
        os.close(made)


def _refuse_missing(dialect: sa.Dialect, record: object, arguments: list[Any], named: dict[str, Any]) -> None:
    # SQLite would make an empty database where a path is misspelt, or its file was moved.
    del dialect, record, named
    if not Path(arguments[0]).exists():
        error = sqlite3.OperationalError(f"there is no file {arguments[0]}; 'flagsched db upgrade' makes it")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error


def _open_sqlite(connection: sqlite3.Connection, record: object) -> None:
    del record
    connection.isolation_level = None  # The driver must not begin transactions on its own.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"journal_size_limit={MAX_WAL_BYTES}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # Whoever may write takes the write lock at once: two that upgrade from reading would deadlock.
    reading = connection.get_execution_options().get(READING, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
