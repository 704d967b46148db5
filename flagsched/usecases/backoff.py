"""Flags that could not be recorded: each is retried alone, later and later."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

MAX_POSTPONEMENT = timedelta(seconds=60)


@dataclass(slots=True)
class Backoff:
    """The flags that could not be recorded, kept in the process too: writing it down may fail for the same cause.

    Each of them is tried alone until it goes well, so that it holds up no other.
    """

    monotonic: Callable[[], float]
    tries: dict[UUID, int] = field(default_factory=dict)
    waiting_until: dict[UUID, float] = field(default_factory=dict)

    def known(self) -> list[UUID]:
        """The flags that are tried alone."""
        return list(self.tries)

    def waiting(self) -> list[UUID]:
        """The flags to leave alone now."""
        now = self.monotonic()
        return [flag_id for flag_id, until in self.waiting_until.items() if until > now]

    def ready(self) -> list[UUID]:
        """The flags to try alone now."""
        waiting = set(self.waiting())
        return [flag_id for flag_id in self.tries if flag_id not in waiting]

    def suspect(self, flag_ids: Collection[UUID]) -> None:
        """Have these flags tried alone: recording them together has failed."""
        for flag_id in flag_ids:
            self.tries.setdefault(flag_id, 0)

    def note(self, flag_id: UUID) -> timedelta:
        """One more failure of this flag: how long to leave it alone."""
        tries = self.tries[flag_id] = self.tries.get(flag_id, 0) + 1
        delay = min(timedelta(seconds=2 ** min(tries - 1, 16)), MAX_POSTPONEMENT)
        self.waiting_until[flag_id] = self.monotonic() + delay.total_seconds()
        return delay

    def forget(self, flag_id: UUID) -> None:
        """It went well again."""
        self.tries.pop(flag_id, None)
        self.waiting_until.pop(flag_id, None)


@dataclass(frozen=True, slots=True)
class Postponement:
    """One flag that could not be recorded, why, and for how long it is left alone."""

    flag_id: UUID
    cause: str
    delay: timedelta
