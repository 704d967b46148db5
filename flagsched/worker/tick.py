"""One tick: record what is in effect until nothing is left, and find out when the next tick is needed."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from flagsched.domain.errors import Unavailable
from flagsched.ports.store import Store
from flagsched.usecases.materialise import look_ahead
from flagsched.worker.drain import Drain

MAX_BACKOFF_SECONDS = 4.0
# How soon to retry what is due but locked: not at once, or the worker would spin. As long as nothing else is recorded
# either, up to eight times as late: or a flag that is locked for hours would keep it busy.
HELD_SECONDS = (0.02, 0.05)
MAX_DOUBLINGS = 3
JITTER = (0.8, 1.0)

log = structlog.get_logger("flagsched.worker")


class Tick:
    """Called by the scheduler; never raises. The next tick is `wait_seconds` later."""

    def __init__(
        self,
        store: Store,
        drain: Drain,
        *,
        poll_seconds: float,
        spread: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.wait_seconds = poll_seconds
        self._store = store
        self._drain = drain
        self._poll_seconds = poll_seconds
        self._spread = spread
        self._failures = 0
        self._doublings = 0
        self._next_tick_at: datetime | None = None

    def __call__(self) -> None:
        """Record what is in effect, and set `wait_seconds`."""
        # This tick may miss schedules that are created from here on: they wake the worker again.
        self._next_tick_at = None
        try:
            self._drain()
            self.wait_seconds = self._until_next_tick()
            self._failures = 0
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker goes on and tries again
            self._back_off(error)
        self._drain.heartbeat()

    def comes_before(self, instant: datetime) -> bool:
        """Does the next tick come before `instant`, a time by the database's clock?"""
        return self._next_tick_at is not None and self._next_tick_at <= instant

    def _until_next_tick(self) -> float:
        ahead = look_ahead(self._store, self._drain.backoff)
        wait = self._poll_seconds * self._spread(*JITTER)
        if ahead.due_at is not None:
            wait = min(wait, (ahead.due_at - ahead.now).total_seconds())
        if self._drain.recorded or not ahead.held:
            self._doublings = 0
        if ahead.held:
            wait = min(wait, self._until_released())
        self._next_tick_at = ahead.now + timedelta(seconds=wait)
        return wait

    def _until_released(self) -> float:
        wait = self._spread(*HELD_SECONDS) * (1 << self._doublings)
        self._doublings = min(self._doublings + 1, MAX_DOUBLINGS)
        return wait

    def _back_off(self, error: Exception) -> None:
        self.wait_seconds = min(2.0**self._failures, MAX_BACKOFF_SECONDS)
        self._failures += 1
        if isinstance(error, Unavailable):
            log.warning("cannot record now", reason=error.message, cause=error.cause, retry_seconds=self.wait_seconds)
        else:
            log.error("tick failed", retry_seconds=self.wait_seconds, exc_info=error)
