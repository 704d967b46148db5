"""One tick: write down what is in effect until nothing is left, and say when to look again."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

import structlog

from flagsched.domain.errors import Unavailable
from flagsched.ports import Store
from flagsched.usecases.materialise import Setbacks, look_ahead, materialise_due

LONGEST_BACKOFF_SECONDS = 4.0
# When something is due that could not be claimed: soon, but not at once, or a locked flag would make it spin.
CONTENDED_SECONDS = (0.02, 0.05)
JITTER = (0.8, 1.0)

log = structlog.get_logger("flagsched.worker")


@dataclass(slots=True)
class Pulse:
    """What the watchdog feels: when a transaction was last finished or tried."""

    beat_at: float = 0.0

    def beat(self) -> None:
        """One more."""
        self.beat_at = monotonic()


class Tick:
    """Called by the scheduler; `wait_seconds` says when to call it again."""

    def __init__(
        self, store: Store, *, poll_seconds: float, spread: Callable[[float, float], float] | None = None
    ) -> None:
        self._store = store
        self._poll_seconds = poll_seconds
        self._spread = spread or random.uniform
        self._setbacks = Setbacks(monotonic)
        self._checked = False
        self._failures = 0
        self._next_look_at: datetime | None = None
        self.wait_seconds = poll_seconds
        self.stopping = False
        self.pulse = Pulse()

    def __call__(self) -> None:
        """Do what is to be done; never raises."""
        try:
            self.drain()
            self.wait_seconds = self._until_next_look()
            self._failures = 0
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker lives on and tries again
            self._fail(error)
        self.pulse.beat()

    def drain(self) -> None:
        """Write down what is in effect, until nothing is due or the worker is to stop."""
        if not self._checked:
            self._store.check()
            self._checked = True
        while not self.stopping:
            recorded = materialise_due(self._store, self._setbacks)
            self.pulse.beat()
            for setback in recorded.setbacks:
                log.error(
                    "flag not recorded, will be tried again",
                    flag_id=str(setback.flag_id),
                    retry_seconds=setback.delay.total_seconds(),
                    cause=setback.error,
                )
            if not recorded.flags and not recorded.setbacks:
                return
            log.info("recorded what is in effect", flags=recorded.flags)

    def looks_before(self, instant: datetime) -> bool:
        """Will it look by itself before `instant`, a time by the database's clock?"""
        return self._next_look_at is not None and self._next_look_at <= instant

    def stop(self) -> None:
        """Begin no further transaction."""
        self.stopping = True

    def _until_next_look(self) -> float:
        ahead = look_ahead(self._store)
        wait = self._poll_seconds * self._spread(*JITTER)
        if ahead.due_at is not None:
            until_due = (ahead.due_at - ahead.now).total_seconds()
            wait = min(wait, until_due) if until_due > 0 else self._spread(*CONTENDED_SECONDS)
        self._next_look_at = ahead.now + timedelta(seconds=wait)
        return wait

    def _fail(self, error: Exception) -> None:
        self._checked = False
        self._next_look_at = None
        self.wait_seconds = min(2.0**self._failures, LONGEST_BACKOFF_SECONDS)
        self._failures += 1
        if isinstance(error, Unavailable):
            log.warning("cannot record now", cause=error.message, retry_seconds=self.wait_seconds)
        else:
            log.error("tick failed", retry_seconds=self.wait_seconds, exc_info=error)
