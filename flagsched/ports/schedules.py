"""Schedules in storage."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from flagsched.domain.agenda import Agenda
from flagsched.domain.flags import Flag
from flagsched.domain.schedules import PendingSchedule, Schedule, Status
from flagsched.domain.timeline import Replay
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

    def page_of_environment(self, query: EnvironmentScheduleQuery) -> Page[Schedule]:
        """Schedules of all flags, archived ones too, by (scheduled_at, flag id, seq)."""

    def of_plans(self, plan_ids: Collection[UUID]) -> list[Schedule]:
        """All schedules of these plans, of archived flags too, by (scheduled_at, flag id, seq)."""

    def count_pending(self, flag: Flag) -> int:
        """How many schedules of `flag` are pending."""

    def pending(self, flag: Flag) -> Agenda[Schedule]:
        """The agenda of one flag, with all that is stored of its schedules."""

    def pending_of(self, flags: Collection[Flag]) -> Mapping[UUID, Agenda[Schedule]]:
        """The same of many flags, by flag id."""

    def agendas(self, flags: Collection[Flag]) -> Mapping[UUID, Agenda[PendingSchedule]]:
        """The agendas of these flags, by flag id."""

    def due(
        self, flags: Sequence[Flag], at: datetime, limit: int | None = None
    ) -> Mapping[UUID, Agenda[PendingSchedule]]:
        """The agendas of these flags up to `at`, by flag id.

        With a `limit`, leaves out flags that would make it more schedules, but never the first that has any.
        """


class ScheduleWriter(ScheduleReader, Protocol):
    """Schedules; each method is one statement, whatever the number of schedules."""

    def add(self, schedules: Sequence[Schedule]) -> None:
        """Insert them."""

    def edit(self, schedules: Sequence[Schedule]) -> None:
        """Write their new instants and updates; StatementFailed if one of them is not pending any more."""

    def cancel(self, schedules: Sequence[Schedule]) -> None:
        """Write that they were cancelled; StatementFailed if one of them is not pending any more."""

    def finish(self, replays: Sequence[Replay[PendingSchedule]], recorded_at: datetime) -> None:
        """Write the outcomes of all steps, and an entry of the history for each: in one statement, or two on SQLite.

        Raises StatementFailed if one of the schedules is not pending any more.
        """
