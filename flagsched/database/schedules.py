"""Schedules in the database."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from flagsched.database.errors import refuse_unless_all_were_pending
from flagsched.database.rowset import columns_of, rowset
from flagsched.database.tables import flags, is_pending, schedules
from flagsched.database.types import Json
from flagsched.domain.flags import Flag
from flagsched.domain.schedules import Planned, Schedule, Status
from flagsched.domain.updates import UnreadableUpdates
from flagsched.ports import Page, PlanQuery, ScheduleQuery

PLANNED = ("id", "seq", "scheduled_at", "updates")
ADDED = (
    "id",
    "flag_id",
    "seq",
    "batch_id",
    "scheduled_at",
    "updates",
    "status",
    "created_by",
    "created_at",
    "updated_at",
)
EDITED = ("id", "scheduled_at", "updates", "updated_at")
ENDED = ("status", "error_message", "updated_at", "applied_at", "flag_version", "cancelled_by", "cancelled_at")
COLUMNS = tuple(schedules.c[name] for name in dict.fromkeys((*ADDED, *ENDED)))
ORDER = (schedules.c.scheduled_at, schedules.c.seq)
ORDER_OF_ALL = (schedules.c.scheduled_at, schedules.c.flag_id, schedules.c.seq)
TYPES = {column.name: column.type for column in schedules.c} | {"updates": Json}


@dataclass(frozen=True, slots=True)
class Schedules:
    """Implements `ports.ScheduleReader` and `ports.ScheduleWriter`."""

    connection: sa.Connection

    def find(self, flag: Flag, schedule_id: UUID) -> Schedule | None:
        """See `ports.ScheduleReader`."""
        wanted = sa.select(*COLUMNS).where(schedules.c.flag_id == flag.id, schedules.c.id == schedule_id)
        row = self.connection.execute(wanted).one_or_none()
        return None if row is None else _schedule(row)

    def page(self, flag: Flag, query: ScheduleQuery) -> Page[Schedule]:
        """See `ports.ScheduleReader`."""
        wanted = sa.select(*COLUMNS).where(schedules.c.flag_id == flag.id)
        if query.statuses:
            wanted = wanted.where(_in(query.statuses))
        return self._page(wanted, ORDER, query.after, query.limit)

    def page_of_all(self, query: PlanQuery) -> Page[Schedule]:
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
        counted = sa.select(sa.func.count()).where(schedules.c.flag_id == flag.id, is_pending)
        number: int = self.connection.execute(counted).scalar_one()
        return number

    def pending(self, flags: Iterable[Flag]) -> Mapping[UUID, list[Schedule]]:
        """See `ports.ScheduleReader`."""
        by_flag: dict[UUID, list[Schedule]] = {flag.id: [] for flag in flags}
        wanted = sa.select(*COLUMNS).where(schedules.c.flag_id.in_(list(by_flag)), is_pending)
        for row in self.connection.execute(wanted):
            by_flag[row.flag_id].append(_schedule(row))
        return by_flag

    def due(self, flags: Sequence[Flag], at: datetime, limit: int) -> Mapping[UUID, list[Planned]]:
        """See `ports.ScheduleWriter`."""
        asked = self._asked(flags)
        place = asked.c.place
        due = (
            sa.select(
                *(schedules.c[name] for name in PLANNED),
                place,
                sa.func.count().over(order_by=place).label("total"),
                sa.func.min(place).over().label("first"),
                sa.func.row_number().over(partition_by=place, order_by=ORDER).label("step"),
            )
            .where(schedules.c.flag_id == asked.c.flag_id, is_pending, schedules.c.scheduled_at <= at)
            .subquery()
        )
        whole = sa.or_(due.c.total <= limit, due.c.place == due.c.first)
        columns = [*(due.c[name] for name in PLANNED), due.c.place, whole]
        by_flag: dict[UUID, list[Planned]] = {flag.id: [] for flag in flags}
        # Of a flag that is left out, the first step comes along to say so.
        for schedule_id, seq, at_, updates, nth, is_whole in self.connection.execute(
            sa.select(*columns).where(whole | (due.c.step == 1))
        ):
            flag_id = flags[nth].id
            if is_whole:
                by_flag[flag_id].append(Planned(schedule_id, flag_id, seq, at_, updates))
            else:
                del by_flag[flag_id]
        return by_flag

    def _asked(self, flags: Sequence[Flag]) -> sa.FromClause:
        types = {"flag_id": schedules.c.flag_id.type, "place": sa.Integer()}
        columns = {"flag_id": [flag.id for flag in flags], "place": range(len(flags))}
        return rowset(self.connection.dialect.name, types, columns)

    def add(self, planned: Sequence[Schedule]) -> None:
        """See `ports.ScheduleWriter`."""
        types = {name: TYPES[name] for name in ADDED}
        given = rowset(self.connection.dialect.name, types, columns_of([_row(s) for s in planned]))
        columns = [given.c[name] for name in ADDED]
        self.connection.execute(sa.insert(schedules).from_select(list(ADDED), sa.select(*columns)))

    def change(self, schedule: Schedule) -> None:
        """See `ports.ScheduleWriter`."""
        # What can't be read is left as it stands, for whoever looks into it.
        unreadable = isinstance(schedule.updates, UnreadableUpdates)
        written = [name for name in EDITED if not (unreadable and name == "updates")]
        types = {name: TYPES[name] for name in written}
        given = rowset(self.connection.dialect.name, types, columns_of([_row(schedule)]))
        values = {name: given.c[name] for name in written if name != "id"}
        self._write(sa.update(schedules).where(schedules.c.id == given.c.id, is_pending).values(values), 1)

    def end(self, ended: Sequence[Schedule]) -> None:
        """See `ports.ScheduleWriter`."""
        if not ended:
            return
        types = {name: TYPES[name] for name in ("id", *ENDED)}
        given = rowset(self.connection.dialect.name, types, columns_of([_ending(s) for s in ended]))
        values = {name: given.c[name] for name in ENDED}
        self._write(sa.update(schedules).where(schedules.c.id == given.c.id, is_pending).values(values), len(ended))

    def _write(self, update: sa.Update, rows: int) -> None:
        refuse_unless_all_were_pending(self.connection.execute(update).rowcount, rows)


def _in(statuses: Collection[Status]) -> sa.ColumnElement[bool]:
    # Written out for the one that is asked for most, so that its index can serve.
    return is_pending if set(statuses) == {Status.PENDING} else schedules.c.status.in_(statuses)


def _row(schedule: Schedule) -> dict[str, Any]:
    return {
        "id": schedule.id,
        "flag_id": schedule.flag_id,
        "seq": schedule.seq,
        "batch_id": schedule.batch_id,
        "scheduled_at": schedule.scheduled_at,
        "updates": schedule.updates.as_json(),
        "status": schedule.status.value,
        "created_by": schedule.created_by,
        "created_at": schedule.created_at,
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
