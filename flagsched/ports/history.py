"""History in storage."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from flagsched.domain.flags import Flag
from flagsched.domain.history import Action, Entry, StateChange, StoredEntry
from flagsched.ports.pages import Page


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which entries, newest first, in effect from `start` until before `end`.

    Those before (effective_at, id) `before`, `limit` at most; of one flag if `flag_id` says so, else of an environment.
    """

    environment: str
    flag_id: UUID | None = None
    flag_key: str | None = None
    action: Action | None = None
    actor: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    before: tuple[datetime, int] | None = None
    limit: int = 50


class HistoryReader(Protocol):
    """What happened."""

    def page(self, query: HistoryQuery) -> Page[StoredEntry]:
        """Entries by (effective_at, id), newest first."""

    def find(self, entry_id: int) -> StoredEntry | None:
        """The entry of this number."""

    def applied(self, schedule_ids: Collection[UUID]) -> list[StoredEntry]:
        """The entries that tell that these schedules were applied, in their order."""

    def undoing(self, entry: StoredEntry) -> list[StoredEntry]:
        """The entries that undo this one, in the order in which they were made."""

    def state_changes(self, flag: Flag, start: datetime | None, end: datetime | None, limit: int) -> Page[StateChange]:
        """The entries that made the versions of `flag`, in order.

        Those in effect after `start` and before `end`, `limit` at most, and before them the one in effect at `start`.
        """

    def state_changes_of(
        self, flags: Collection[Flag], start: datetime, limit: int
    ) -> tuple[Mapping[UUID, Sequence[StateChange]], datetime | None]:
        """The same for many flags from `start` on, by flag id: the newest `limit` of them all.

        And, if there are more, the instant from which on none is missing.
        """


class HistoryWriter(HistoryReader, Protocol):
    """The append-only list of everything that happened."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Add them, in one statement."""

    def append_one(self, entry: Entry) -> StoredEntry:
        """Add one, and return it under its number."""
