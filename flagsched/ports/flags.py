"""Flags in storage."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from flagsched.domain.flags import Flag, FlagName
from flagsched.ports.pages import Page


@dataclass(frozen=True, slots=True)
class FlagQuery:
    """Which flags of an environment, by key: those after the key `after`, `limit` at most."""

    environment: str
    search: str = ""
    after: str | None = None
    limit: int = 50


class FlagReader(Protocol):
    """Flags that are not archived, as last written."""

    def find(self, name: FlagName) -> Flag | None:
        """The flag of that name."""

    def page(self, query: FlagQuery) -> Page[Flag]:
        """Flags by key."""

    def among(self, flag_ids: Collection[UUID]) -> Mapping[UUID, Flag]:
        """The flags of these ids, archived or not, by id."""

    def earliest_due(self, *, passing_over: Collection[UUID], after: datetime | None = None) -> datetime | None:
        """The earliest instant, or the earliest after `after`, at which a flag may be claimed, over all but these."""


class FlagWriter(FlagReader, Protocol):
    """Flags, with the lock under which alone they and their schedules are changed."""

    def lock(self, names: Collection[FlagName], ids: Collection[UUID] = ()) -> Mapping[FlagName, Flag]:
        """The flags of these names or ids that exist, locked until the transaction ends; FlagBusy after 3 s of waiting.

        Locked in the order of their ids, so that no two writers wait for each other.
        """

    def claim_due(self, limit: int, *, passing_over: Collection[UUID]) -> list[Flag]:
        """Up to `limit` flags with something due, locked, but for those that others hold or that must wait."""

    def claim(self, flag_id: UUID) -> Flag | None:
        """One flag, locked, if something of it is due and no other transaction holds it."""

    def add(self, flag: Flag) -> None:
        """Insert a flag; FlagExists if its key is taken."""

    def settle(self, recorded: Sequence[Flag]) -> None:
        """Write flags as recorded; nothing of them is to be retried any more."""

    def change(self, flags: Sequence[Flag], revisions: Mapping[str, int]) -> None:
        """Write flags as an admin changed them or their agendas: the last statement of its transaction.

        Raises Overtaken if, by the clock of this very statement, something of an agenda before or after is in effect;
        on PostgreSQL the commit checks once more, and raises the same. `revisions` are the environments'.
        """

    def lock_environment(self, environment: str) -> list[Flag]:
        """All flags of an environment, archived ones too, locked."""

    def lock_live(self, environment: str) -> list[Flag]:
        """All flags of an environment but archived ones, locked in the order of their ids; FlagBusy.

        No flag is created in it until the transaction ends.
        """

    def lock_archived(self, flag_id: UUID, environment: str) -> Flag | None:
        """An archived flag of an environment, locked as if it were created in it; FlagBusy."""

    def revive(self, flag: Flag) -> None:
        """Let an archived flag have its key again; FlagExists if that is taken."""

    def exists(self, environment: str) -> bool:
        """Was a flag ever created in this environment?"""

    def repair(self, flags: Sequence[Flag], revision: int) -> None:
        """Write when each of these flags is due next, and that all of them have changed."""

    def postpone(self, flag_id: UUID, *, until: datetime, error: str) -> None:
        """Let no worker claim the flag before `until`, and say why."""
