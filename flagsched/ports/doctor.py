"""What the doctor asks of storage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from flagsched.ports.pages import Page


@dataclass(frozen=True, slots=True)
class Overdue:
    """A flag whose record waits: since when, and why if it was tried."""

    flag: str
    since: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Stored:
    """How much there is: rows by what they are, and bytes. What only SQLite's host can tell is None elsewhere."""

    rows: Mapping[str, int]
    kept_too_long: int
    """Answers to requests that should be forgotten."""
    database_bytes: int
    wal_bytes: int | None = None
    free_bytes: int | None = None
    open_files: Sequence[str] = ()
    """Files that others than their owner may read."""


class DoctorReader(Protocol):
    """What can be asked of everything that is stored, when it is in doubt."""

    def examine(self) -> Mapping[str, Page[str]]:
        """Each invariant, as a sentence, with the first of those that break it."""

    def overdue(self, before: datetime) -> Page[Overdue]:
        """Flags with something due before `before` that is not recorded, and those that could not be."""

    def last_recorded_at(self) -> datetime | None:
        """When the last entry of the history was written."""

    def environments(self) -> list[str]:
        """All environments, by name."""

    def stored(self, forgotten_before: datetime) -> Stored:
        """How much is stored; answers that were kept before `forgotten_before` should be no more."""
