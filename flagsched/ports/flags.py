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

    def lock(self, name: FlagName) -> Flag | None:
        """The flag of that name, locked until the transaction ends; FlagBusy after 3 s of waiting."""

    def claim_due(self, limit: int, *, passing_over: Collection[UUID]) -> list[Flag]:
        """Up to `limit` flags with something due, locked, but for those that others hold or that must wait."""

    def claim(self, flag_id: UUID) -> Flag | None:
        """One flag, locked, if something of it is due and nobody holds it."""

    def add(self, flag: Flag) -> None:
        """Insert a flag; FlagExists if its key is taken."""

    def settle(self, recorded: Sequence[Flag]) -> None:
        """Write flags as recorded, and from what is still pending when the next is due."""

    def change(self, flag: Flag, *, revision: int) -> None:
        """Write a flag as an admin changed it or its plan: the last statement of its transaction.

        Raises Overtaken if, by the clock of this very statement, something of the plan before or after is in effect;
        on PostgreSQL the commit looks once more, and raises the same. `revision` is the environment's.
        """

    def lock_all(self, environment: str) -> list[UUID]:
        """Lock all flags of an environment, archived ones too, and give their ids."""

    def recompute(self, locked: Collection[UUID], *, revision: int) -> None:
        """Write of these flags when the next is due, as their plans say, and that all of them has changed."""

    def postpone(self, flag_id: UUID, *, until: datetime, error: str) -> None:
        """Let no worker claim the flag before `until`, and say why."""
