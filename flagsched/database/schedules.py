"""Schedules in the database. No other module writes their table."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from flagsched.database.errors import readable, refuse_unless_all_were_pending
from flagsched.database.history import entries_of_finished
from flagsched.database.holds import Holds
from flagsched.database.row_parameters import RowParameters
from flagsched.database.schema.tables import flags, history, is_pending, schedules
from flagsched.database.schema.types import Json
from flagsched.domain.agenda import Agenda
from flagsched.domain.effective import ending
from flagsched.domain.flags import Flag
from flagsched.domain.history import documents_of
from flagsched.domain.schedules import PendingSchedule, Schedule, Status
from flagsched.domain.timeline import Replay
from flagsched.domain.updates import stored_updates
from flagsched.ports.pages import Page
from flagsched.ports.schedules import EnvironmentScheduleQuery, ScheduleQuery

COLUMNS = tuple(c.label("status_reason") if c.name == "error_message" else c for c in schedules.c)
ORDER = (schedules.c.scheduled_at, schedules.c.seq)
ORDER_IN_ENVIRONMENT = (schedules.c.scheduled_at, schedules.c.flag_id, schedules.c.seq)
LOCAL = ("local_time", "time_zone")
ADDED = ("id", "flag_id", "seq", "batch_id", "scheduled_at", "updates", "created_by", "created_at", *LOCAL)
EDITED = ("scheduled_at", "updates", "updated_at", *LOCAL)
CANCELLED = ("status", "updated_at", "cancelled_by", "cancelled_at")
TYPES = {column.name: column.type for column in schedules.c} | {"updates": Json}
FLAG_ROWS = RowParameters({"flag_id": schedules.c.flag_id.type})
ADDED_ROWS, EDITED_ROWS, CANCELLED_ROWS = (
    RowParameters({name: TYPES[name] for name in names}) for names in (ADDED, ("id", *EDITED), ("id", *CANCELLED))
)
FINISHED_ROWS = RowParameters(
    {
        "flag_id": sa.Uuid(),
        "seq": sa.BigInteger(),
        "flag_version": sa.BigInteger(),
        "before": Json,
        "after": Json,
        "status": sa.Text(),
        "reason": sa.Text(),
        "effective_at": history.c.effective_at.type,
    }
)
RECORDED_AT = sa.bindparam("recorded_at_", type_=schedules.c.applied_at.type)
PENDING = sa.select(*COLUMNS).where(schedules.c.flag_id == sa.bindparam("flag_id_"), is_pending)
COUNTED = sa.select(sa.func.count()).where(schedules.c.flag_id == sa.bindparam("flag_id_"), is_pending)
FOUND = sa.select(*COLUMNS).where(
    schedules.c.flag_id == sa.bindparam("flag_id_"), schedules.c.id == sa.bindparam("id_")
)
OF_PLANS = (
    sa.select(*COLUMNS)
    .where(schedules.c.batch_id.in_(sa.bindparam("plan_ids", expanding=True)))
    .order_by(*(schedules.c[name] for name in ("scheduled_at", "flag_id", "seq")))
)
NO_LIMIT = 2**31
AGENDA = tuple(schedules.c[name] for name in ("flag_id", "seq", "scheduled_at", "updates"))


@cache
def _agendas(dialect: str) -> sa.Select[Any]:
    rows = FLAG_ROWS.given(dialect)
    return sa.select(*AGENDA).join_from(rows, schedules, sa.and_(schedules.c.flag_id == rows.c.flag_id, is_pending))


@cache
def _pending_of_flags(dialect: str) -> sa.Select[Any]:
    rows = FLAG_ROWS.given(dialect)
    return sa.select(*COLUMNS).join_from(rows, schedules, sa.and_(schedules.c.flag_id == rows.c.flag_id, is_pending))


@cache
def _due(dialect: str) -> sa.CompoundSelect[Any]:
    """What is due of the given flags, those that stand first; and with no seq, when the rest of each begins."""
    rows = FLAG_ROWS.given(dialect)
    at = sa.bindparam("at", type_=schedules.c.scheduled_at.type)
    pending = sa.and_(schedules.c.flag_id == rows.c.flag_id, is_pending)
    due = (
        sa.select(rows.c.place, schedules.c.seq, schedules.c.scheduled_at, schedules.c.updates)
        .join_from(rows, schedules, sa.and_(pending, schedules.c.scheduled_at <= at))
        .order_by(rows.c.place)
        .limit(sa.bindparam("limit_", type_=sa.Integer))
        .subquery("due")
    )
    # A look into the index for each flag, however long its agenda is.
    first_later = sa.select(sa.func.min(schedules.c.scheduled_at)).where(pending, schedules.c.scheduled_at > at)
    later = sa.select(rows.c.place, sa.null(), first_later.correlate(rows).scalar_subquery(), sa.null())
    return sa.union_all(sa.select(due), later)


@cache
def _added(dialect: str) -> sa.Insert:
    rows = ADDED_ROWS.given(dialect)
    values = {name: rows.c[name] for name in ADDED}
    values |= {"status": sa.literal(Status.PENDING.value), "updated_at": rows.c.created_at}
    return sa.insert(schedules).from_select(list(values), sa.select(*values.values()))


@cache
def _edited(dialect: str) -> sa.Update:
    rows = EDITED_ROWS.given(dialect)
    # Updates that can't be read are left as they stand, for an operator to look at.
    kept = {"updates": sa.func.coalesce(rows.c.updates, sa.type_coerce(schedules.c.updates, Json))}
    return _pending_of(rows).values({name: rows.c[name] for name in EDITED} | kept)


@cache
def _cancelled(dialect: str) -> sa.Update:
    rows = CANCELLED_ROWS.given(dialect)
    return _pending_of(rows).values({name: rows.c[name] for name in CANCELLED})


def _pending_of(rows: sa.FromClause) -> sa.Update:
    return sa.update(schedules).where(schedules.c.id == rows.c.id, is_pending)


@cache
def _finished(dialect: str) -> Sequence[sa.Update | sa.Insert]:
    """Finish the given schedules and append their entries: on PostgreSQL in one, to which the rows travel once."""
    rows = FINISHED_ROWS.given(dialect)
    applied = rows.c.status == Status.APPLIED.value
    same = sa.and_(schedules.c.flag_id == rows.c.flag_id, schedules.c.seq == rows.c.seq)
    finish = (
        sa.update(schedules)
        .where(same, is_pending)
        .values(
            status=rows.c.status,
            applied_at=sa.case((applied, RECORDED_AT)),
            flag_version=sa.case((applied, rows.c.flag_version)),
            error_message=rows.c.reason,
        )
    )
    if dialect == "postgresql":
        return [entries_of_finished(finish.returning(schedules.c.id, *rows.c).cte("finished"))]
    finished = sa.select(schedules.c.id, *rows.c).join_from(rows, schedules, same).subquery("finished")
    return [finish, entries_of_finished(finished)]


@dataclass(frozen=True, slots=True)
class Schedules:
    """Implements `ports.schedules`."""

    connection: sa.Connection
    holds: Holds

    def find(self, flag: Flag, schedule_id: UUID) -> Schedule | None:
        row = self.connection.execute(FOUND, {"flag_id_": flag.id, "id_": schedule_id}).one_or_none()
        return None if row is None else _schedule(row)

    def page(self, flag: Flag, query: ScheduleQuery) -> Page[Schedule]:
        wanted = sa.select(*COLUMNS).where(schedules.c.flag_id == flag.id)
        if query.statuses:
            wanted = wanted.where(_in(query.statuses))
        return self._page(wanted, ORDER, query.after, query.limit)

    def page_of_environment(self, query: EnvironmentScheduleQuery) -> Page[Schedule]:
        wanted = sa.select(*COLUMNS).join(flags).where(flags.c.environment == query.environment)
        if query.statuses:
            wanted = wanted.where(_in(query.statuses))
        if query.batch_id is not None:
            wanted = wanted.where(schedules.c.batch_id == query.batch_id)
        if query.start is not None:
            wanted = wanted.where(schedules.c.scheduled_at >= query.start)
        if query.end is not None:
            wanted = wanted.where(schedules.c.scheduled_at < query.end)
        return self._page(wanted, ORDER_IN_ENVIRONMENT, query.after, query.limit)

    def _page(
        self, wanted: sa.Select[Any], order: Sequence[sa.Column[Any]], after: tuple[Any, ...] | None, limit: int
    ) -> Page[Schedule]:
        if after is not None:
            wanted = wanted.where(sa.tuple_(*order) > sa.tuple_(*after, types=[column.type for column in order]))
        rows = self.connection.execute(wanted.order_by(*order).limit(limit + 1)).all()
        return Page([_schedule(row) for row in rows[:limit]], more=len(rows) > limit)

    def of_plans(self, plan_ids: Collection[UUID]) -> list[Schedule]:
        return [_schedule(row) for row in self.connection.execute(OF_PLANS, {"plan_ids": list(plan_ids)})]

    def count_pending(self, flag: Flag) -> int:
        number: int = self.connection.execute(COUNTED, {"flag_id_": flag.id}).scalar_one()
        return number

    def pending(self, flag: Flag) -> Agenda[Schedule]:
        agenda = Agenda.of(_schedule(row) for row in self.connection.execute(PENDING, {"flag_id_": flag.id}))
        return self.holds.over([flag], {flag.id: agenda})[flag.id]

    def pending_of(self, flags: Collection[Flag]) -> Mapping[UUID, Agenda[Schedule]]:
        found: dict[UUID, list[Schedule]] = {flag.id: [] for flag in flags}
        given = FLAG_ROWS.parameters([flag.id] for flag in flags)
        for row in self.connection.execute(_pending_of_flags(self._dialect), given):
            found[row.flag_id].append(_schedule(row))
        return self.holds.over(flags, {flag_id: Agenda.of(own) for flag_id, own in found.items()})

    def agendas(self, flags: Collection[Flag]) -> Mapping[UUID, Agenda[PendingSchedule]]:
        given = FLAG_ROWS.parameters([flag.id] for flag in flags)
        with readable():
            found = agendas_of(self.connection.execute(_agendas(self._dialect), given))
        return self.holds.over(flags, {flag.id: found.get(flag.id, Agenda()) for flag in flags})

    def due(
        self, flags: Sequence[Flag], at: datetime, limit: int | None = None
    ) -> Mapping[UUID, Agenda[PendingSchedule]]:
        found: list[list[PendingSchedule]] = [[] for _ in flags]
        later_at: dict[int, datetime | None] = {}
        with readable():
            for place, seq, scheduled_at, updates in self.connection.execute(*self._due_up_to(flags, at, limit)):
                if seq is None:
                    later_at[place] = scheduled_at
                else:
                    found[place].append(PendingSchedule(seq, scheduled_at, updates))
        first, last = _borders(found)
        is_cut_off = limit is not None and sum(map(len, found)) > limit
        # The last flag may have been cut off: it is left for another time, unless it is the first.
        chosen = flags[:last] if is_cut_off else flags
        agendas = {flag.id: Agenda.of(found[n], later_at.get(n)) for n, flag in enumerate(chosen)}
        if is_cut_off and first == last:
            return {**self.holds.over(chosen, agendas), **self.due([flags[first]], at)}
        return self.holds.over(chosen, agendas)

    def _due_up_to(
        self, flags: Sequence[Flag], at: datetime, limit: int | None
    ) -> tuple[sa.CompoundSelect[Any], dict[str, Any]]:
        rows = FLAG_ROWS.parameters([flag.id] for flag in flags)
        # One more, to know whether there are more.
        return _due(self._dialect), {**rows, "at": at, "limit_": NO_LIMIT if limit is None else limit + 1}

    @property
    def _dialect(self) -> str:
        return self.connection.dialect.name

    def add(self, schedules: Sequence[Schedule]) -> None:
        if schedules:
            self.connection.execute(_added(self._dialect), ADDED_ROWS.parameters(map(_added_row, schedules)))

    def edit(self, schedules: Sequence[Schedule]) -> None:
        if schedules:
            rows = EDITED_ROWS.parameters(_rows(schedules, EDITED_ROWS.names))
            self._write(_edited(self._dialect), rows, len(schedules))

    def cancel(self, schedules: Sequence[Schedule]) -> None:
        if schedules:
            rows = CANCELLED_ROWS.parameters(_rows(schedules, CANCELLED_ROWS.names))
            self._write(_cancelled(self._dialect), rows, len(schedules))

    def finish(self, replays: Sequence[Replay[PendingSchedule]], recorded_at: datetime) -> None:
        rows = [_finished_row(replayed.flag.id, step) for replayed in replays for step in replayed.steps]
        if rows:
            given = FINISHED_ROWS.parameters(rows) | {"recorded_at_": recorded_at}
            for statement in _finished(self._dialect):
                self._write(statement, given, len(rows))

    def _write(self, statement: sa.Update | sa.Insert, given: Mapping[str, Any], rows: int) -> None:
        refuse_unless_all_were_pending(self.connection.execute(statement, given).rowcount, rows)


def agendas_of(rows: Iterable[Sequence[Any]]) -> Mapping[UUID, Agenda[PendingSchedule]]:
    """The agendas that rows of AGENDA make, by flag id; none for a flag without any."""
    found: dict[UUID, list[PendingSchedule]] = defaultdict(list)
    for flag_id, seq, scheduled_at, updates in rows:
        found[flag_id].append(PendingSchedule(seq, scheduled_at, updates))
    return {flag_id: Agenda.of(pending) for flag_id, pending in found.items()}


def _borders(found: Sequence[Sequence[PendingSchedule]]) -> tuple[int, int]:
    """The places of the first and of the last flag that has anything."""
    filled = [place for place, schedules in enumerate(found) if schedules] or [0]
    return filled[0], filled[-1]


def _in(statuses: Collection[Status]) -> sa.ColumnElement[bool]:
    # Written out for the one that is asked for most, so that its index can serve.
    return is_pending if set(statuses) == {Status.PENDING} else schedules.c.status.in_(statuses)


def _added_row(schedule: Schedule) -> list[Any]:
    """The columns of ADDED, in their order."""
    return [
        schedule.id,
        schedule.flag_id,
        schedule.seq,
        schedule.batch_id,
        schedule.scheduled_at,
        stored_updates(schedule.updates),
        schedule.created_by,
        schedule.created_at,
        schedule.local_time,
        schedule.time_zone,
    ]


def _rows(stored: Sequence[Schedule], names: Sequence[str]) -> list[list[Any]]:
    return [[_value(schedule, name) for name in names] for schedule in stored]


def _value(schedule: Schedule, name: str) -> Any:
    match name:
        case "updates":
            return stored_updates(schedule.updates)
        case "status":
            return schedule.status.value
        case _:
            return getattr(schedule, name)


def _finished_row(flag_id: UUID, step: Any) -> tuple[Any, ...]:
    status, reason = ending(step.outcome)
    documents = documents_of(step)
    return (flag_id, step.schedule.seq, step.after.version, *documents, status.value, reason, step.effective_at)


def _schedule(row: sa.Row[Any]) -> Schedule:
    return Schedule(**{**row._mapping, "status": Status(row.status)})
