"""Hearing of new plans at once: PostgreSQL's LISTEN, on a connection of its own."""

import json
import select
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Any

import psycopg2
import sqlalchemy as sa
import structlog

from flagsched.database.connections.engine import is_pooled

CHANNEL = "flagsched"
MAX_BACKOFF_SECONDS = 4.0
LOOK_SECONDS = 1.0

log = structlog.get_logger("flagsched.notices")


@dataclass(frozen=True, slots=True)
class Notification:
    """What was heard at once: that something has changed, and the earliest instant that is newly planned."""

    wake_at: datetime | None


def listen(engine: sa.Engine, hear: Callable[[Notification | None], None], stopped: Event) -> None:
    """Tell `hear` of all that is heard, and None after each time of deafness, until `stopped`.

    Behind a pooler nobody is told of anything: then it ends at once.
    """
    failures = 0
    while not stopped.is_set():
        try:
            if is_pooled(engine):
                log.info("behind a pooler, polling alone")
                return
            connection = _connect(engine)
            try:
                failures = 0
                hear(None)
                _hear_from(connection, hear, stopped)
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


def _hear_from(connection: Any, hear: Callable[[Notification | None], None], stopped: Event) -> None:
    heard = select.poll()  # It takes any number of a socket, which select.select does not.
    heard.register(connection, select.POLLIN)
    while not stopped.is_set():
        heard.poll(LOOK_SECONDS * 1000)
        connection.poll()
        notices, connection.notifies[:] = list(connection.notifies), []
        if notices:
            instants = [at for notice in notices if (at := _wake_at(notice.payload))]
            hear(Notification(min(instants, default=None)))


def _wake_at(payload: str) -> datetime | None:
    # Anybody may notify on our channel: what is not a plan of ours is passed over.
    try:
        wake_at = datetime.fromisoformat(json.loads(payload)["wakeAt"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return wake_at if wake_at.tzinfo else None
