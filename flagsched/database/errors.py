"""What the drivers' errors mean, in flagsched's words."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from flagsched.database.connections.primary import NotPrimary
from flagsched.database.schema.revision import SCHEMA_REVISION
from flagsched.domain.errors import (
    DatabaseReadOnly,
    DatabaseUnavailable,
    DiskFull,
    FlagBusy,
    FlagschedError,
    Overtaken,
    SchemaOutdated,
    StatementFailed,
    Unavailable,
)

# Lock, timeout, deadlock and shutdown are all OperationalError: the SQLSTATE tells them apart.
AWAY_STATES = re.compile("08...|53...|57P0[1-5]|58...")  # connection, resources, shutdown, operating system
SCHEMA_STATES = {"42P01", "42703"}  # undefined table, undefined column

NOT_OVERTAKEN = "ck_feature_flags_not_overtaken"

SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
# A disk, a quota or a file's size at its limit; without room for the -shm file nothing can even be opened.
SQLITE_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
SQLITE_AWAY = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
BUSY = "another request is changing this flag; nothing was stored, try again"
OVERTAKEN = "the flag is changing by its plan just now; nothing was stored, try again"
AWAY = "the database does not answer"
READ_ONLY = "the database is a standby, or read-only by its settings; nothing was stored"
FULL = "the disk of the database is full, or takes no writes; nothing was stored"
REFUSED = "the database refused to do this; nothing was stored"
STATES: dict[str, tuple[type[Unavailable], str]] = {
    "55P03": (FlagBusy, BUSY),  # lock not available
    "40P01": (FlagBusy, BUSY),  # deadlock
    "40001": (FlagBusy, BUSY),  # serialization failure
    "25006": (DatabaseReadOnly, READ_ONLY),  # read-only SQL transaction
    "53100": (DiskFull, FULL),  # disk full
}


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the drivers raise in flagsched's words."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, NotPrimary) as error:
        raise translate(error) from error


@contextmanager
def readable() -> Iterator[None]:
    """Raise StatementFailed for rows with a value that can't be read: it is one flag's trouble, and not a fault."""
    try:
        yield
    except ValueError as error:
        raise StatementFailed(REFUSED, f"a row can't be read: {error}") from error


def translate(error: sa.exc.SQLAlchemyError | NotPrimary) -> FlagschedError:
    """The flagsched error that says what `error` means for the caller."""
    original = getattr(error, "orig", None) or error
    cause = str(original).strip()
    if isinstance(original, NotPrimary):
        return DatabaseReadOnly(original.reason, cause)
    if isinstance(error, sa.exc.TimeoutError):
        return DatabaseUnavailable("no connection to the database is free", cause)
    if not isinstance(error, sa.exc.DBAPIError):
        return StatementFailed(REFUSED, cause)
    if isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(error.orig, cause)
    return _of_postgresql(error, cause)


def refuse_unless_all_were_pending(changed: int, asked: int) -> None:
    """Raise StatementFailed if fewer schedules were changed than should have been."""
    if changed != asked:
        raise StatementFailed(REFUSED, "a schedule was changed without its flag's lock")


def _of_postgresql(error: sa.exc.DBAPIError, cause: str) -> FlagschedError:
    state = getattr(error.orig, "pgcode", None) or ""
    if state in STATES:
        meaning, message = STATES[state]
        return meaning(message, cause)
    if _constraint(error) == NOT_OVERTAKEN:
        return Overtaken(OVERTAKEN, cause)
    if state in SCHEMA_STATES:
        return SchemaOutdated(None, SCHEMA_REVISION, cause)
    lost = error.connection_invalidated or (not state and isinstance(error, sa.exc.OperationalError))
    if lost or AWAY_STATES.fullmatch(state):
        return DatabaseUnavailable(AWAY, cause)
    return StatementFailed(REFUSED, cause)


def _constraint(error: sa.exc.DBAPIError) -> str | None:
    name: str | None = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    return name


def _of_sqlite(error: sqlite3.Error, cause: str) -> FlagschedError:
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF
    if extended in SQLITE_FULL:
        return DiskFull(FULL, cause)
    if code in SQLITE_BUSY:
        return FlagBusy(BUSY, cause)
    if code in SQLITE_AWAY:
        return DatabaseUnavailable(AWAY, cause)
    if cause.startswith(("no such table", "no such column")):
        return SchemaOutdated(None, SCHEMA_REVISION, cause)
    return StatementFailed(REFUSED, cause)
