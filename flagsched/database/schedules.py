"""Schedules in the database."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from flagsched.database.errors import refuse_unless_all_were_pending
from flagsched.database.row_parameters import RowParameters, columns_of
from flagsched.database.schema.tables import flags, is_pending, schedules
from flagsched.database.schema.types import Json
from flagsched.domain.flags import Flag
from flagsched.domain.schedules import PendingSchedule, Schedule, Status
from flagsched.domain.updates import UnreadableUpdates
from flagsched.ports.pages import Page
from flagsched.ports.schedules import EnvironmentScheduleQuery, ScheduleQuery

EDITED = ("scheduled_at", "updates", "updated_at")
ENDED = ("status", "error_message", "updated_at", "applied_at", "flag_version", "cancelled_by", "cancelled_at")
COLUMNS = tuple(schedules.c)
ORDER = (schedules.c.scheduled_at, schedules.c.seq)
ORDER_OF_ALL = (schedules.c.scheduled_at, schedules.c.flag_id, schedules.c.seq)
TYPES = {column.name: column.type for column in schedules.c} | {"updates": Json}
GIVEN_FLAGS = RowParameters({"flag_id": schedules.c.flag_id.type})
GIVEN_EDITS = RowParameters({name: TYPES[name] for name in ("id", *EDITED)})
GIVEN_ENDINGS = RowParameters({name: TYPES[name] for name in ("id", *ENDED)})
PENDING = sa.select(*COLUMNS).where(schedules.c.flag_id.in_(sa.bindparam("flag_ids", expanding=True)), is_pending)
COUNTED = sa.select(sa.func.count()).where(schedules.c.flag_id == sa.bindparam("flag_id_"), is_pending)
FOUND = sa.select(*COLUMNS).where(
    schedules.c.flag_id == sa.bindparam("flag_id_"), schedules.c.id == sa.bindparam("id_")
)


@cache
def _ended(dialect: str) -> sa.Update:
    given = GIVEN_ENDINGS.given(dialect)
    return _pending_of(given).values({name: given.c[name] for name in ENDED})


@cache
def _due(dialect: str) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """How many schedules are due of each of the given flags, and these schedules."""
    given = GIVEN_FLAGS.given(dialect)
    due = sa.and_(schedules.c.flag_id == given.c.flag_id, is_pending, schedules.c.scheduled_at <= sa.bindparam("at"))
    counted = sa.select(sa.func.count(schedules.c.seq)).select_from(given.outerjoin(schedules, due))
    planned = sa.select(given.c.place, *(schedules.c[name] for name in ("seq", "scheduled_at", "updates")))
    return counted.group_by(given.c.place).order_by(given.c.place), planned.where(due)


def _pending_of(given: sa.FromClause) -> sa.Update:
    return sa.update(schedules).where(schedules.c.id == given.c.id, is_pending)


@dataclass(frozen=True, slots=True)
class Schedules:
    """Implements `ports.ScheduleReader` and `ports.ScheduleWriter`."""

    connection: sa.Connection

    def find(self, flag: Flag, schedule_id: UUID) -> Schedule | None:
        """See `ports.ScheduleReader`."""
        row = self.connection.execute(FOUND, {"flag_id_": flag.id, "id_": schedule_id}).one_or_none()
        return None if row is None else _schedule(row)

    def page(self, flag: Flag, query: ScheduleQuery) -> Page[Schedule]:
        """See `ports.ScheduleReader`."""
        wanted = sa.select(*COLUMNS).where(schedules.c.flag_id == flag.id)
        if query.statuses:
            wanted = wanted.where(_in(query.statuses))
        return self._page(wanted, ORDER, query.after, query.limit)

    def page_of_all(self, query: EnvironmentScheduleQuery) -> Page[Schedule]:
        """See `ports.ScheduleReader`."""
        wanted = sa.select(*COLUMNS).join(flags).where(flags.c.environment == query.environment)
        if query.statuses:
            wanted = wanted.where(_in(query.statuses))
        if query.batch_id is not None:
            wanted = wanted.where(schedules.c.batch_id == query.batch_id)
        if query.start is not None:
            wanted = wanted.where(schedules.c.scheduled_at >= query.start)
        if query.end is not None:
            wanted = wanted.where(schedules.c.scheduled_at < query.end)
        return self._page(wanted, ORDER_OF_ALL, query.after, query.limit)

    def _page(
        self, wanted: sa.Select[Any], order: Sequence[sa.Column[Any]], after: tuple[Any, ...] | None, limit: int
    ) -> Page[Schedule]:
        if after is not None:
            wanted = wanted.where(sa.tuple_(*order) > sa.tuple_(*after, types=[column.type for column in order]))
        rows = self.connection.execute(wanted.order_by(*order).limit(limit + 1)).all()
        return Page([_schedule(row) for row in rows[:limit]], more=len(rows) > limit)

    def count_pending(self, flag: Flag) -> int:
        """See `ports.ScheduleReader`."""
        number: int = self.connection.execute(COUNTED, {"flag_id_": flag.id}).scalar_one()
        return number

    def pending(self, flags: Iterable[Flag]) -> Mapping[UUID, list[Schedule]]:
        """See `ports.ScheduleReader`."""
        by_flag: dict[UUID, list[Schedule]] = {flag.id: [] for flag in flags}
        for row in self.connection.execute(PENDING, {"flag_ids": list(by_flag)}):
            by_flag[row.flag_id].append(_schedule(row))
        return by_flag

    def due(self, flags: Sequence[Flag], at: datetime, limit: int) -> Mapping[UUID, list[PendingSchedule]]:
        """See `ports.ScheduleWriter`."""
        counted, planned = _due(self._dialect)
        chosen = flags
        # As many as that there are not if they never had so many: they are numbered.
        if sum(flag.last_seq for flag in flags) > limit:
            whole = _whole(self.connection.execute(counted, self._asked(flags, at)).scalars().all(), limit)
            chosen = [flag for flag, taken in zip(flags, whole, strict=True) if taken]
        by_place: list[list[PendingSchedule]] = [[] for _ in chosen]
        for place, seq, scheduled_at, updates in self.connection.execute(planned, self._asked(chosen, at)):
            by_place[place].append(PendingSchedule(seq, scheduled_at, updates))
        return {flag.id: due for flag, due in zip(chosen, by_place, strict=True)}

    def _asked(self, flags: Sequence[Flag], at: datetime) -> dict[str, Any]:
        return GIVEN_FLAGS.parameters(self._dialect, {"flag_id": [flag.id for flag in flags]}) | {"at": at}

    @property
    def _dialect(self) -> str:
        return self.connection.dialect.name

    def change(self, schedule: Schedule) -> None:
        """See `ports.ScheduleWriter`."""
        # What can't be read is left as it stands, for whoever looks into it.
        unreadable = isinstance(schedule.updates, UnreadableUpdates)
        given = GIVEN_EDITS.given(self._dialect)
        values = {name: given.c[name] for name in EDITED if not (unreadable and name == "updates")}
        parameters = GIVEN_EDITS.parameters(self._dialect, columns_of([_row(schedule)]))
        self._write(_pending_of(given).values(values), parameters, 1)

    def end(self, ended: Sequence[Schedule]) -> None:
        """See `ports.ScheduleWriter`."""
        if ended:
            rows = columns_of([_ending(schedule) for schedule in ended])
            self._write(_ended(self._dialect), GIVEN_ENDINGS.parameters(self._dialect, rows), len(ended))

    def _write(self, update: sa.Update, given: Mapping[str, Any], rows: int) -> None:
        refuse_unless_all_were_pending(self.connection.execute(update, given).rowcount, rows)


def _whole(counts: Sequence[int], limit: int) -> list[bool]:
    """Which flags to take, with all that is due of each: the first of them, and others up to `limit` in all."""
    taken: list[bool] = []
    total = 0
    for count in counts:
        taken.append(count == 0 or total == 0 or total + count <= limit)
        total += count
    return taken


def _in(statuses: Collection[Status]) -> sa.ColumnElement[bool]:
    # Written out for the one that is asked for most, so that its index can serve.
    return is_pending if set(statuses) == {Status.PENDING} else schedules.c.status.in_(statuses)


def _row(schedule: Schedule) -> dict[str, Any]:
    return {
        "id": schedule.id,
        "scheduled_at": schedule.scheduled_at,
        "updates": schedule.updates.as_json(),
        "updated_at": schedule.updated_at,
    }


def _ending(schedule: Schedule) -> dict[str, Any]:
    return {
        "id": schedule.id,
        "status": schedule.status.value,
        "error_message": schedule.error_message,
        "updated_at": schedule.updated_at,
        "applied_at": schedule.applied_at,
        "flag_version": schedule.flag_version,
        "cancelled_by": schedule.cancelled_by,
        "cancelled_at": schedule.cancelled_at,
    }


def _schedule(row: sa.Row[Any]) -> Schedule:
    return Schedule(
        id=row.id,
        flag_id=row.flag_id,
        seq=row.seq,
        batch_id=row.batch_id,
        scheduled_at=row.scheduled_at,
        updates=row.updates,
        status=Status(row.status),
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
        applied_at=row.applied_at,
        flag_version=row.flag_version,
        error_message=row.error_message,
        cancelled_by=row.cancelled_by,
        cancelled_at=row.cancelled_at,
    )
