"""Record what is in effect until nothing is left."""

from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from uuid import UUID

import structlog

from flagsched.domain.errors import Unavailable
from flagsched.ports.store import Store
from flagsched.usecases.backoff import Backoff, Postponement
from flagsched.usecases.idempotency import MAX_FORGOTTEN, forget_responses
from flagsched.usecases.materialise import materialise_alone, materialise_due

FORGET_SECONDS = 60.0

log = structlog.get_logger("flagsched.worker")


class Drain:
    """Records what is in effect, one transaction after the other, each with a heartbeat for the watchdog."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = monotonic) -> None:
        self.backoff = Backoff(clock)
        self.stopping = False
        self.heartbeat_at = clock()
        self.recorded = 0
        """How many flags the last call recorded, without those that were tried alone."""
        self._store = store
        self._clock = clock
        self._checked = False
        self._forget_at = clock() + FORGET_SECONDS

    def __call__(self) -> list[Postponement]:
        """Go on until nothing is due or the worker is to stop; returns the flags that could not be recorded."""
        checked, self._checked = self._checked, False
        if not checked:
            self._store.check()
        failed = self._drain()
        self._forget()
        self._checked = True  # Not after an exception: then the schema is checked again.
        return failed

    def _drain(self) -> list[Postponement]:
        failed: list[Postponement] = []
        self.recorded = 0
        while not self.stopping:
            for flag_id in self.backoff.ready():
                failed += self._alone(flag_id)
            recorded = materialise_due(self._store, self.backoff)
            self.heartbeat()
            self.recorded += recorded.flags
            if recorded.flags:
                log.info("recorded what is in effect", flags=recorded.flags)
            if not recorded.flags and not recorded.failed:
                break
        return failed

    def _forget(self) -> None:
        if self._clock() < self._forget_at or self.stopping:
            return
        full = False
        with suppress(Unavailable):  # The next try is soon enough.
            full = forget_responses(self._store) >= MAX_FORGOTTEN
        self._forget_at = self._clock() + (0 if full else FORGET_SECONDS)

    def _alone(self, flag_id: UUID) -> list[Postponement]:
        if self.stopping:
            return []
        postponement = materialise_alone(self._store, flag_id, self.backoff)
        self.heartbeat()
        if postponement is None:
            return []
        log.error(
            "flag not recorded, will be tried again",
            flag_id=str(flag_id),
            retry_seconds=postponement.delay.total_seconds(),
            cause=postponement.cause,
        )
        return [postponement]

    def heartbeat(self) -> None:
        """A transaction was finished or tried."""
        self.heartbeat_at = self._clock()
