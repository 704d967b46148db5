"""History in the database, which refuses to change or delete any of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from flagsched.database.errors import refuse_unless_all_were_pending
from flagsched.database.row_parameters import Columns, RowParameters
from flagsched.database.schema.tables import flags, history, is_pending, schedules
from flagsched.database.schema.types import Json
from flagsched.domain.flags import Flag, FlagName
from flagsched.domain.history import STATE_CHANGES, SYSTEM_ACTOR, Action, Actor, Ending, Entry, StoredEntry, told_plan
from flagsched.domain.schedules import Schedule, Status
from flagsched.ports.history import HistoryQuery
from flagsched.ports.pages import Page

WRITTEN = tuple(column.name for column in history.c if column.name != "id")
ORDER = (history.c.effective_at, history.c.id)
GIVEN = RowParameters({name: history.c[name].type for name in WRITTEN})
GIVEN_ENDINGS = RowParameters(
    {
        "flag_id": sa.Uuid(),
        "seq": sa.BigInteger(),
        "flag_version": sa.BigInteger(),
        "before": Json,
        "after": Json,
        "reason": sa.Text(),
        "effective_at": history.c.effective_at.type,
    }
)
RECORDED_AT = sa.bindparam("recorded_at_", type_=history.c.recorded_at.type)
AT = sa.bindparam("at_", type_=history.c.effective_at.type)
GIVEN_PLAN = RowParameters(
    {
        "id": sa.Uuid(),
        "seq": sa.BigInteger(),
        "scheduled_at": schedules.c.scheduled_at.type,
        "updates": Json,
        "after": Json,
    }
)


@cache
def _inserted(dialect: str) -> sa.Insert:
    given = GIVEN.given(dialect)
    return _insert(sa.select(*(given.c[name] for name in WRITTEN)).order_by(given.c.place))


@cache
def _planned_and_told(dialect: str) -> Sequence[sa.Insert]:
    """What inserts the given schedules of one flag and tells of them; on PostgreSQL in one, as below."""
    rows = GIVEN_PLAN.given(dialect)
    given = sa.select(rows).cte("given_once") if dialect == "postgresql" else rows
    shared = {
        "flag_id": sa.bindparam("flag_id_", type_=sa.Uuid),
        "batch_id": sa.bindparam("batch_id_", type_=sa.Uuid),
        "status": sa.literal(Status.PENDING.value),
        "created_by": sa.bindparam("actor_", type_=sa.Text),
        "created_at": AT,
        "updated_at": AT,
    }
    added = {name: given.c[name] for name in ("id", "seq", "scheduled_at", "updates")} | shared
    planned = sa.insert(schedules).from_select(list(added), sa.select(*added.values()).select_from(given))
    told = {
        "flag_id": shared["flag_id"],
        "flag_key": sa.bindparam("flag_key_", type_=sa.Text),
        "environment": sa.bindparam("environment_", type_=sa.Text),
        "action": sa.literal(Action.SCHEDULE_CREATED.value),
        "schedule_id": given.c.id,
        "flag_version": sa.bindparam("flag_version_", type_=sa.BigInteger),
        "before": sa.null(),
        "after": given.c.after,
        "actor": shared["created_by"],
        "request_id": sa.bindparam("request_id_", type_=sa.Text),
        "effective_at": AT,
        "recorded_at": RECORDED_AT,
    }
    telling = _insert(sa.select(*(told[name] for name in WRITTEN)).select_from(given).order_by(given.c.place))
    return [telling.add_cte(planned.cte("planned"))] if dialect == "postgresql" else [planned, telling]


@cache
def _ended(dialect: str) -> sa.Update:
    given = GIVEN_ENDINGS.given(dialect)
    applied = given.c.reason.is_(None)
    return (
        sa.update(schedules)
        .where(schedules.c.flag_id == given.c.flag_id, schedules.c.seq == given.c.seq, is_pending)
        .values(
            status=sa.case((applied, Status.APPLIED.value), else_=Status.FAILED.value),
            applied_at=sa.case((applied, RECORDED_AT)),
            flag_version=sa.case((applied, given.c.flag_version)),
            error_message=given.c.reason,
        )
    )


@cache
def _ended_and_told(dialect: str) -> Sequence[sa.Update | sa.Insert]:
    """What ends the given schedules, and then tells of it; on PostgreSQL in one, to which the rows travel once."""
    given = GIVEN_ENDINGS.given(dialect)
    if dialect == "postgresql":
        return [_told(_ended(dialect).returning(schedules.c.id, *given.c).cte("ended"))]
    ended = (
        sa.select(schedules.c.id, *given.c)
        .join_from(given, schedules, sa.and_(schedules.c.flag_id == given.c.flag_id, schedules.c.seq == given.c.seq))
        .subquery("ended")
    )
    return [_ended(dialect), _told(ended)]


def _told(ended: sa.FromClause) -> sa.Insert:
    applied = ended.c.reason.is_(None)
    told = {column.name: column for column in ended.c} | {
        "flag_key": flags.c.key,
        "environment": flags.c.environment,
        "action": sa.case((applied, Action.SCHEDULE_APPLIED.value), else_=Action.SCHEDULE_FAILED.value),
        "schedule_id": ended.c.id,
        "actor": sa.literal(SYSTEM_ACTOR),
        "request_id": sa.null(),
        "recorded_at": RECORDED_AT,
    }
    chosen = sa.select(*(told[name] for name in WRITTEN)).join_from(ended, flags, flags.c.id == ended.c.flag_id)
    return _insert(chosen.order_by(ended.c.place))


def _insert(chosen: sa.Select[Any]) -> sa.Insert:
    """Insert rows in their order, since the id is what orders a history."""
    return sa.insert(history).from_select(list(WRITTEN), chosen)


@dataclass(frozen=True, slots=True)
class History:
    """Implements `ports.HistoryReader` and `ports.HistoryWriter`."""

    connection: sa.Connection

    def page(self, query: HistoryQuery) -> Page[StoredEntry]:
        """See `ports.HistoryReader`."""
        wanted = sa.select(history).where(*_asked(query)).order_by(*(column.desc() for column in ORDER))
        if query.before is not None:
            wanted = wanted.where(sa.tuple_(*ORDER) < sa.tuple_(*query.before, types=[c.type for c in ORDER]))
        return self._page(wanted, query.limit)

    def state_changes(self, flag: Flag, start: datetime | None, end: datetime | None, limit: int) -> Page[StoredEntry]:
        """See `ports.HistoryReader`."""
        changes = sa.select(history).where(history.c.flag_id == flag.id, history.c.action.in_(STATE_CHANGES))
        ahead = changes.order_by(*ORDER)
        if end is not None:
            ahead = ahead.where(history.c.effective_at < end)
        if start is None:
            return self._page(ahead, limit)
        following = self._page(ahead.where(history.c.effective_at > start), limit)
        behind = changes.where(history.c.effective_at <= start).order_by(*(column.desc() for column in ORDER))
        return Page([*self._page(behind, 1).items, *following.items], following.more)

    def _page(self, wanted: sa.Select[Any], limit: int) -> Page[StoredEntry]:
        rows = self.connection.execute(wanted.limit(limit + 1)).all()
        return Page([_entry(row) for row in rows[:limit]], more=len(rows) > limit)

    def append(self, entries: Sequence[Entry]) -> None:
        """See `ports.HistoryWriter`."""
        if entries:
            self.connection.execute(_inserted(self._dialect), GIVEN.parameters(self._dialect, _columns(entries)))

    def append_plan(self, flag: Flag, planned: Sequence[Schedule], *, by: Actor, recorded_at: datetime) -> None:
        """See `ports.HistoryWriter`."""
        given = GIVEN_PLAN.parameters(self._dialect, _plan_columns(planned))
        shared = {
            "flag_id_": flag.id,
            "flag_key_": flag.name.key,
            "environment_": flag.name.environment,
            "flag_version_": flag.state.version,
            "batch_id_": planned[0].batch_id,
            "at_": planned[0].created_at,
            "actor_": by.name,
            "request_id_": by.request_id,
            "recorded_at_": recorded_at,
        }
        for statement in _planned_and_told(self._dialect):
            self.connection.execute(statement, given | shared)

    def append_endings(self, endings: Sequence[Ending], recorded_at: datetime) -> None:
        """See `ports.HistoryWriter`."""
        if not endings:
            return
        columns = dict(zip(Ending._fields, zip(*endings, strict=True), strict=True))
        given = GIVEN_ENDINGS.parameters(self._dialect, columns) | {"recorded_at_": recorded_at}
        for statement in _ended_and_told(self._dialect):
            changed = self.connection.execute(statement, given).rowcount
            refuse_unless_all_were_pending(changed, len(endings))

    @property
    def _dialect(self) -> str:
        return self.connection.dialect.name


def _asked(query: HistoryQuery) -> list[sa.ColumnElement[bool]]:
    columns = history.c
    asked = [
        columns.environment == query.environment if query.flag_id is None else columns.flag_id == query.flag_id,
        None if query.flag_key is None else columns.flag_key == query.flag_key,
        None if query.action is None else columns.action == query.action.value,
        None if query.actor is None else columns.actor == query.actor,
        None if query.start is None else columns.effective_at >= query.start,
        None if query.end is None else columns.effective_at < query.end,
    ]
    return [condition for condition in asked if condition is not None]


def _entry(row: sa.Row[Any]) -> StoredEntry:
    return StoredEntry(
        id=row.id,
        entry=Entry(
            flag_id=row.flag_id,
            name=FlagName(row.environment, row.flag_key),
            action=Action(row.action),
            schedule_id=row.schedule_id,
            flag_version=row.flag_version,
            before=row.before,
            after=row.after,
            actor=row.actor,
            request_id=row.request_id,
            effective_at=row.effective_at,
            recorded_at=row.recorded_at,
        ),
    )


def _plan_columns(planned: Sequence[Schedule]) -> Columns:
    return {
        "id": [schedule.id for schedule in planned],
        "seq": [schedule.seq for schedule in planned],
        "scheduled_at": [schedule.scheduled_at for schedule in planned],
        "updates": [schedule.updates.as_json() for schedule in planned],
        "after": [told_plan(schedule) for schedule in planned],
    }


def _columns(entries: Sequence[Entry]) -> Columns:
    return {
        "flag_id": [entry.flag_id for entry in entries],
        "flag_key": [entry.name.key for entry in entries],
        "environment": [entry.name.environment for entry in entries],
        "action": [entry.action.value for entry in entries],
        "schedule_id": [entry.schedule_id for entry in entries],
        "flag_version": [entry.flag_version for entry in entries],
        "before": [entry.before for entry in entries],
        "after": [entry.after for entry in entries],
        "actor": [entry.actor for entry in entries],
        "request_id": [entry.request_id for entry in entries],
        "effective_at": [entry.effective_at for entry in entries],
        "recorded_at": [entry.recorded_at for entry in entries],
    }
