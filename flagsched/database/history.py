"""History in the database, which refuses to change or delete any of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from flagsched.database.errors import refuse_unless_all_were_pending
from flagsched.database.rowset import Columns, rowset
from flagsched.database.tables import history, is_pending, schedules
from flagsched.domain.flags import Flag, FlagName
from flagsched.domain.history import STATE_CHANGES, Action, Entry, StoredEntry
from flagsched.domain.schedules import Status
from flagsched.ports import HistoryQuery, Page

WRITTEN = tuple(column.name for column in history.c if column.name != "id")
ORDER = (history.c.effective_at, history.c.id)
TYPES = {"place": sa.Integer()} | {name: history.c[name].type for name in WRITTEN}


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
            self.connection.execute(_inserted(self._given(entries)))

    def append_endings(self, entries: Sequence[Entry]) -> None:
        """See `ports.HistoryWriter`."""
        if not entries:
            return
        given = self._given(entries)
        if self.connection.dialect.name == "postgresql":
            # One statement: the rows travel once.
            once = sa.select(given).cte("once")
            told = _inserted(once).cte("told")
            ending = _ended(once).returning(schedules.c.id).cte("ended")
            rows = self.connection.execute(sa.select(sa.func.count()).select_from(ending).add_cte(told)).scalar_one()
        else:
            rows = self.connection.execute(_ended(given)).rowcount
            self.connection.execute(_inserted(given))
        refuse_unless_all_were_pending(rows, len(entries))

    def _given(self, entries: Sequence[Entry]) -> sa.FromClause:
        return rowset(self.connection.dialect.name, TYPES, _columns(entries))


def _inserted(given: sa.FromClause) -> sa.Insert:
    # In their order, since the id is what orders a history.
    chosen = sa.select(*(given.c[name] for name in WRITTEN)).order_by(given.c.place)
    return sa.insert(history).from_select(list(WRITTEN), chosen)


def _ended(given: sa.FromClause) -> sa.Update:
    applied = given.c.action == Action.SCHEDULE_APPLIED.value
    failed = given.c.action == Action.SCHEDULE_FAILED.value
    return (
        sa.update(schedules)
        .where(schedules.c.id == given.c.schedule_id, is_pending)
        .values(
            status=sa.case((applied, Status.APPLIED.value), (failed, Status.FAILED.value)),
            applied_at=sa.case((applied, given.c.recorded_at)),
            flag_version=sa.case((applied, given.c.flag_version)),
            error_message=sa.case((failed, given.c.after["errorMessage"].as_string())),
        )
    )


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


def _columns(entries: Sequence[Entry]) -> Columns:
    return {
        "place": range(len(entries)),
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
