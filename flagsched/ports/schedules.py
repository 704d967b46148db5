"""Schedules in storage."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from flagsched.domain.flags import Flag
from flagsched.domain.schedules import PendingSchedule, Schedule, Status
from flagsched.ports.pages import Page


@dataclass(frozen=True, slots=True)
class ScheduleQuery:
    """Which schedules of a flag, in order: those after (scheduled_at, seq) `after`, `limit` at most."""

    statuses: Collection[Status] = ()
    after: tuple[datetime, int] | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class EnvironmentScheduleQuery:
    """Which schedules of an environment, by time, from `start` until before `end`.

    Those after (scheduled_at, flag id, seq) `after`, `limit` at most.
    """

    environment: str
    statuses: Collection[Status] = ()
    batch_id: UUID | None = None
    start: datetime | None = None
    end: datetime | None = None
    after: tuple[datetime, UUID, int] | None = None
    limit: int = 50


class ScheduleReader(Protocol):
    """Schedules as last written."""

    def find(self, flag: Flag, schedule_id: UUID) -> Schedule | None:
        """The schedule of that id, if it belongs to `flag`."""

    def page(self, flag: Flag, query: ScheduleQuery) -> Page[Schedule]:
        """Schedules of `flag` by (scheduled_at, seq)."""

    def page_of_all(self, query: EnvironmentScheduleQuery) -> Page[Schedule]:
        """Schedules of all flags, archived ones too, by (scheduled_at, flag id, seq)."""

    def count_pending(self, flag: Flag) -> int:
        """How many schedules of `flag` are pending."""

    def pending(self, flags: Iterable[Flag]) -> Mapping[UUID, list[Schedule]]:
        """All pending schedules of these flags, by flag id; a flag without any has an empty list."""


class ScheduleWriter(ScheduleReader, Protocol):
    """Schedules; each method is one statement, whatever the number of schedules."""

    def due(self, flags: Sequence[Flag], at: datetime, limit: int) -> Mapping[UUID, list[PendingSchedule]]:
        """The pending schedules due at `at`, by flag id.

        Holds each flag whole or not at all: the first with something due, as many more as make up to `limit`
        schedules, and an empty list for each that has nothing due.
        """

    def change(self, schedule: Schedule) -> None:
        """Write its new instant and updates; StatementFailed if it is not pending any more."""

    def end(self, ended: Sequence[Schedule]) -> None:
        """Write how they ended; StatementFailed if one of them is not pending any more."""
