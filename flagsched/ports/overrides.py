"""Overrides in storage."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from flagsched.domain.flags import Flag
from flagsched.domain.overrides import Override
from flagsched.domain.schedules import PendingSchedule
from flagsched.domain.timeline import Replay
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

    def among(self, users: Mapping[UUID, Collection[str]]) -> Sequence[Override]:
        """Those of these users, by flag id."""

    def count(self, flag: Flag, besides: Collection[str] = ()) -> int:
        """How many a flag has, besides those of some users."""


class OverrideWriter(OverrideReader, Protocol):
    """Users of a flag who are set apart; its lock covers them."""

    def put(self, override: Override) -> None:
        """Insert it, in the place of one that is there."""

    def remove(self, override: Override) -> None:
        """Delete it."""

    def settle(self, replays: Sequence[Replay[PendingSchedule]]) -> None:
        """Write the overrides that their steps have set, by whoever planned it, and delete those that they removed.

        One statement for each of the two, and none where there is nothing to write.
        """
