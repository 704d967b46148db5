"""Behind a pooler: each transaction may get another server connection, so it sets its timeouts itself."""

from collections.abc import Mapping
from itertools import chain

import sqlalchemy as sa

from flagsched.database.connections.primary import TAKES_WRITES, refuse_unless_primary

POOLED = "flagsched_pooled"
"""In a connection's `info`: does a pooler stand before the server?"""


def is_pooled(engine: sa.Engine) -> bool:
    """Does a pooler stand before the database?"""
    with engine.connect() as connection:
        return bool(connection.info.get(POOLED))


def set_for_transaction(connection: sa.Connection, timeouts: Mapping[str, str]) -> None:
    """Set the time zone and the timeouts for this transaction alone, where the connection was not opened with them.

    Raises NotPrimary: behind a pooler, the server may change after the connection was opened.
    """
    settings = {"TimeZone": "UTC"} | dict(timeouts)
    columns = ", ".join(["set_config(%s, %s, true)"] * len(settings))
    parameters = tuple(chain.from_iterable(settings.items()))
    primary, writable, *_ = connection.exec_driver_sql(f"SELECT {TAKES_WRITES}, {columns}", parameters).one()
    refuse_unless_primary(primary, writable)


def set_behind_pooler(timeouts: Mapping[str, str], connection: sa.Connection) -> None:
    """When a transaction begins: the startup options did not reach the server connection that a pooler gives it."""
    if connection.info[POOLED]:
        set_for_transaction(connection, timeouts)
