"""What use cases need of stored holds."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from flagsched.domain.flags import Flag
from flagsched.domain.holds import Hold, HoldStatus
from flagsched.ports.pages import Page


@dataclass(frozen=True, slots=True)
class HoldQuery:
    """Which holds, by (starts_at, id): those after `after`, `limit` at most.

    With a `flag_id`, those of the flag and those of its `environment`.
    """

    environment: str | None = None
    flag_id: UUID | None = None
    status: HoldStatus | None = None
    after: tuple[datetime, UUID] | None = None
    limit: int = 50


class HoldReader(Protocol):
    """Holds of flags and of environments."""

    def find(self, hold_id: UUID) -> Hold | None:
        """That of this id."""

    def page(self, query: HoldQuery, now: datetime) -> Page[Hold]:
        """Holds in order."""

    def bearing_on(self, flags: Collection[Flag], since: datetime) -> Mapping[UUID, tuple[Hold, ...]]:
        """Those of these flags and of their environments that are not over at `since`, by flag id; none without any."""

    def of_plan(self, plan_id: UUID) -> list[Hold]:
        """Those that were placed for a plan."""

    def count(self, environment: str, flag_id: UUID | None, now: datetime) -> int:
        """How many of a flag are not over or, without a `flag_id`, of the environment itself."""


class HoldWriter(HoldReader, Protocol):
    """The same, and what changes them; no caller may write one without the locks of the flags that it bears on."""

    def add(self, added: Collection[Hold]) -> None:
        """Insert holds."""

    def change(self, hold: Hold) -> None:
        """Write a hold that is stored."""
