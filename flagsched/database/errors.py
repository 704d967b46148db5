"""What the drivers' errors mean, in flagsched's words."""

import sqlite3

import sqlalchemy as sa

from flagsched.database.schema import SCHEMA_REVISION
from flagsched.domain.errors import DatabaseUnavailable, FlagBusy, FlagschedError, SchemaOutdated, StatementFailed

# Lock, timeout, deadlock and shutdown are all OperationalError: the SQLSTATE tells them apart.
BUSY_STATES = {"55P03": "lock not available", "40P01": "deadlock", "40001": "serialization failure"}
AWAY_CLASSES = {"08", "53", "57", "58", "XX"}
SCHEMA_STATES = {"42P01", "42703"}

SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
SQLITE_AWAY = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
BUSY = "somebody else is changing this flag; nothing was stored, try again"
AWAY = "the database does not answer"


def translate(error: sa.exc.SQLAlchemyError) -> FlagschedError:
    """Give the flagsched error that says what `error` means for whoever asked."""
    if isinstance(error, sa.exc.TimeoutError):
        return DatabaseUnavailable("no connection to the database is free")
    if not isinstance(error, sa.exc.DBAPIError):
        return StatementFailed(str(error))
    if isinstance(error.orig, sqlite3.Error):
        return _of_sqlite(error.orig)
    return _of_postgresql(error)


def _of_postgresql(error: sa.exc.DBAPIError) -> FlagschedError:
    state = getattr(error.orig, "pgcode", None)
    if state in BUSY_STATES:
        return FlagBusy(BUSY)
    if state in SCHEMA_STATES:
        return SchemaOutdated(None, SCHEMA_REVISION)
    lost = error.connection_invalidated or (state is None and isinstance(error, sa.exc.OperationalError))
    if lost or (state or "")[:2] in AWAY_CLASSES:
        return DatabaseUnavailable(AWAY)
    return StatementFailed(str(error.orig).strip())


def _of_sqlite(error: sqlite3.Error) -> FlagschedError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in SQLITE_BUSY:
        return FlagBusy(BUSY)
    if code in SQLITE_AWAY:
        return DatabaseUnavailable(AWAY)
    if str(error).startswith(("no such table", "no such column")):
        return SchemaOutdated(None, SCHEMA_REVISION)
    return StatementFailed(str(error))
