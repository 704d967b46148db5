"""SQLite: its file, its pragmas, and transactions that begin when we say so."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

OWNER_ALONE = 0o600
MAX_WAL_BYTES = 64 * 2**20
"""SQLite truncates a larger -wal file, which a long reader caused, once it starts writing it from the beginning."""
READING = "flagsched_reading"
"""The execution option of transactions that only read."""


def make_file(engine: sa.Engine) -> None:
    """Make SQLite's file, empty and for its owner alone, if there is none: for the migrations that make the tables.

    SQLite gives its -wal and -shm the mode of this file.
    """
    if engine.dialect.name != "sqlite":
        return
    with suppress(FileExistsError):
        file = os.open(str(engine.url.database), os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ALONE)
        os.fchmod(file, OWNER_ALONE)  # Whatever the umask took away.
        os.close(file)


def prepare_sqlite(engine: sa.Engine) -> None:
    """Set the pragmas on each new connection, and begin each transaction explicitly."""
    sa.event.listen(engine, "do_connect", _refuse_missing_file)
    sa.event.listen(engine, "connect", _set_pragmas)
    sa.event.listen(engine, "begin", _begin)


def _refuse_missing_file(dialect: sa.Dialect, record: object, arguments: list[Any], named: dict[str, Any]) -> None:
    # SQLite would make an empty database where a path is misspelt, or its file was moved.
    del dialect, record, named
    if not Path(arguments[0]).exists():
        error = sqlite3.OperationalError(f"there is no file {arguments[0]}; 'flagsched db upgrade' makes it")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error


def _set_pragmas(connection: sqlite3.Connection, record: object) -> None:
    del record
    connection.isolation_level = None  # The driver must not begin transactions on its own.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"journal_size_limit={MAX_WAL_BYTES}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    # A transaction that may write takes the write lock at once: two that upgrade from reading would deadlock.
    reading = connection.get_execution_options().get(READING, False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
