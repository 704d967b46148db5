"""Overrides in storage."""

from dataclasses import dataclass
from typing import Protocol

from flagsched.domain.flags import Flag
from flagsched.domain.overrides import Override
from flagsched.ports.pages import Page


@dataclass(frozen=True, slots=True)
class OverrideQuery:
    """Which overrides of a flag, by user: those after the user `after`, `limit` at most."""

    after: str | None = None
    limit: int = 50


class OverrideReader(Protocol):
    """Users of a flag who are set apart."""

    def find(self, flag: Flag, user_id: str) -> Override | None:
        """That of one user."""

    def page(self, flag: Flag, query: OverrideQuery) -> Page[Override]:
        """Those of a flag by user."""

    def count(self, flag: Flag) -> int:
        """How many a flag has."""


class OverrideWriter(OverrideReader, Protocol):
    """Users of a flag who are set apart; its lock covers them."""

    def put(self, override: Override) -> None:
        """Insert it, in the place of one that is there."""

    def remove(self, override: Override) -> None:
        """Delete it."""
