"""Notifications of changes within milliseconds: PostgreSQL's LISTEN, on a connection of its own."""

import json
import select
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event
from typing import Any

import psycopg2
import sqlalchemy as sa
import structlog

from flagsched.database.connections.pooler import is_pooled

CHANNEL = "flagsched"
MAX_BACKOFF_SECONDS = 4.0
POLL_SECONDS = 1.0
MISSED = datetime.min.replace(tzinfo=UTC)
OnChange = Callable[[datetime | None], None]
"""Called with the earliest newly planned instant, None if nothing was planned.

MISSED, which is earlier than any, if notifications may have been missed: at the start, and after a lost connection.
"""

log = structlog.get_logger("flagsched.listen")


def listen(engine: sa.Engine, on_change: OnChange, stopped: Event) -> None:
    """Call `on_change` until `stopped`; return at once behind a pooler, which passes on no notifications."""
    failures = 0
    while not stopped.is_set():
        try:
            if is_pooled(engine):
                log.info("behind a pooler, polling alone")
                return
            connection = _connect(engine)
            try:
                failures = 0
                on_change(MISSED)
                _receive(connection, on_change, stopped)
            finally:
                connection.close()
        except (psycopg2.Error, sa.exc.SQLAlchemyError, OSError) as error:
            wait = min(2.0**failures, MAX_BACKOFF_SECONDS)
            failures += 1
            log.warning("not listening, polling goes on", cause=str(error).strip(), retry_seconds=wait)
            stopped.wait(wait)


def _connect(engine: sa.Engine) -> Any:
    pooled = engine.raw_connection()
    connection: Any = pooled.driver_connection
    pooled.detach()  # It is ours now, with the timeouts and keepalives of all the others.
    connection.set_session(autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {CHANNEL}")
    return connection


def _receive(connection: Any, on_change: OnChange, stopped: Event) -> None:
    poll = select.poll()  # It takes any number of a socket, which select.select does not.
    poll.register(connection, select.POLLIN)
    while not stopped.is_set():
        poll.poll(POLL_SECONDS * 1000)
        connection.poll()
        notifications, connection.notifies[:] = list(connection.notifies), []
        if notifications:
            instants = [at for one in notifications if (at := _wake_at(one.payload))]
            on_change(min(instants, default=None))


def _wake_at(payload: str) -> datetime | None:
    # Any program may notify on this channel: a payload that is not flagsched's is ignored.
    try:
        wake_at = datetime.fromisoformat(json.loads(payload)["wakeAt"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return wake_at if wake_at.tzinfo else None
