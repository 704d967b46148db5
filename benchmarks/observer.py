"""When another session first sees a schedule as applied: a NOTIFY wakes it, so that observing costs no time."""

import select
import time
from threading import Thread
from uuid import UUID

import sqlalchemy as sa

from benchmarks.driver import connect

NOTIFY = """
    CREATE FUNCTION notify_applied() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN PERFORM pg_notify('applied', NEW.id::text); RETURN NULL; END$$;
    CREATE TRIGGER notify_applied AFTER UPDATE ON feature_flag_schedules FOR EACH ROW
    WHEN (OLD.status = 'pending' AND NEW.status = 'applied') EXECUTE FUNCTION notify_applied();
"""
# By the database's clock, and only what this session sees.
SEEN = """
    SELECT id, extract(epoch FROM clock_timestamp() - scheduled_at) * 1000 FROM feature_flag_schedules
    WHERE id = ANY(%s::uuid[]) AND status = 'applied'
"""
PATIENCE_SECONDS = 10.0


class Observer:
    """Notes by how many milliseconds each schedule of a database is late, until it has seen `expected` of them."""

    def __init__(self, engine: sa.Engine, expected: int) -> None:
        self.lateness: dict[UUID, float] = {}
        self._expected = expected
        self._connection = connect(engine.url)
        self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute(NOTIFY)
            cursor.execute("LISTEN applied")
        self._thread = Thread(target=self._observe, daemon=True)
        self._thread.start()

    def seen_by(self, deadline: float) -> list[float]:
        """All latenesses in milliseconds, sorted; RuntimeError if one is missing after the deadline, or early."""
        self._thread.join(max(0.0, deadline - time.time()) + PATIENCE_SECONDS)
        if len(self.lateness) != self._expected:
            raise RuntimeError(f"only {len(self.lateness)} of {self._expected} schedules were recorded")
        if early := [late for late in self.lateness.values() if late < 0]:
            raise RuntimeError(f"{len(early)} schedules were recorded early, by up to {-min(early)} ms")
        return sorted(self.lateness.values())

    def _observe(self) -> None:
        with self._connection.cursor() as cursor:
            while len(self.lateness) < self._expected:
                select.select([self._connection], [], [])
                self._connection.poll()
                ids = [notification.payload for notification in self._connection.notifies]
                self._connection.notifies.clear()
                if ids:
                    cursor.execute(SEEN, (ids,))
                    self.lateness.update((row[0], float(row[1])) for row in cursor.fetchall())
