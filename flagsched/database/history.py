"""History in the database, which refuses to change or delete any of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from flagsched.database.row_parameters import RowParameters
from flagsched.database.schema.tables import flags, history, is_application
from flagsched.domain.flags import Flag, FlagName
from flagsched.domain.history import (
    STATE_CHANGES,
    SYSTEM_ACTOR,
    Action,
    Document,
    Entry,
    StateChange,
    StoredEntry,
    document_of,
    state_of,
)
from flagsched.ports.history import HistoryQuery
from flagsched.ports.pages import Page

WRITTEN = tuple(column.name for column in history.c if column.name != "id")
ORDER = (history.c.effective_at, history.c.id)
ENTRY_ROWS = RowParameters({name: history.c[name].type for name in WRITTEN})
FLAG_ROWS = RowParameters({"flag_id": history.c.flag_id.type})
START = sa.bindparam("start", type_=history.c.effective_at.type)
RECORDED_AT = sa.bindparam("recorded_at_", type_=history.c.recorded_at.type)


@cache
def _appended(dialect: str) -> sa.Insert:
    rows = ENTRY_ROWS.given(dialect)
    return _insert(sa.select(*(rows.c[name] for name in WRITTEN)).order_by(rows.c.place))


def entries_of_finished(finished: sa.FromClause) -> sa.Insert:
    """Append an entry for each schedule that has ended by its instant.

    `finished` has the columns id (the schedule's), status, place, flag_id, flag_version, before, after, effective_at.
    """
    values = {column.name: column for column in finished.c} | {
        "flag_key": flags.c.key,
        "environment": flags.c.environment,
        "action": sa.literal("schedule.") + finished.c.status,
        "schedule_id": finished.c.id,
        "actor": sa.literal(SYSTEM_ACTOR),
        "request_id": sa.null(),
        "recorded_at": RECORDED_AT,
        "undoes": sa.null(),
    }
    chosen = sa.select(*(values[name] for name in WRITTEN)).join_from(finished, flags, flags.c.id == finished.c.flag_id)
    return _insert(chosen.order_by(finished.c.place))


def _insert(chosen: sa.Select[Any]) -> sa.Insert:
    """Insert rows in their order, since the id is what orders a history."""
    return sa.insert(history).from_select(list(WRITTEN), chosen)


@cache
def _ahead(dialect: str) -> sa.Select[Any]:
    """The newest changes of the given flags after `start`."""
    rows = FLAG_ROWS.given(dialect)
    own = sa.and_(history.c.flag_id == rows.c.flag_id, history.c.effective_at > START)
    wanted = sa.select(history).join_from(rows, history, own).where(history.c.action.in_(STATE_CHANGES))
    return wanted.order_by(*(column.desc() for column in ORDER)).limit(sa.bindparam("limit_", type_=sa.Integer))


@cache
def _behind(dialect: str) -> sa.Select[Any]:
    """The last change of each of the given flags up to `start`."""
    rows, earlier = FLAG_ROWS.given(dialect), history.alias("earlier")
    # A look into the index for each flag.
    last = (
        sa.select(earlier.c.id)
        .where(
            earlier.c.flag_id == rows.c.flag_id,
            earlier.c.effective_at <= START,
            earlier.c.action.in_(STATE_CHANGES),
        )
        .order_by(earlier.c.effective_at.desc(), earlier.c.id.desc())
        .limit(1)
        .correlate(rows)
        .scalar_subquery()
    )
    return sa.select(history).join_from(rows, history, history.c.id == last)


@dataclass(frozen=True, slots=True)
class History:
    """Implements `ports.history`."""

    connection: sa.Connection

    def page(self, query: HistoryQuery) -> Page[StoredEntry]:
        wanted = sa.select(history).where(*_conditions(query)).order_by(*(column.desc() for column in ORDER))
        if query.before is not None:
            wanted = wanted.where(sa.tuple_(*ORDER) < sa.tuple_(*query.before, types=[c.type for c in ORDER]))
        rows = self.connection.execute(wanted.limit(query.limit + 1)).all()
        return Page([_entry(row) for row in rows[: query.limit]], more=len(rows) > query.limit)

    def find(self, entry_id: int) -> StoredEntry | None:
        row = self.connection.execute(sa.select(history).where(history.c.id == entry_id)).one_or_none()
        return None if row is None else _entry(row)

    def applied(self, schedule_ids: Collection[UUID]) -> list[StoredEntry]:
        wanted = sa.select(history).where(is_application, history.c.schedule_id.in_(schedule_ids))
        return [_entry(row) for row in self.connection.execute(wanted.order_by(history.c.id))]

    def undoing(self, entry: StoredEntry) -> list[StoredEntry]:
        wanted = sa.select(history).where(history.c.flag_id == entry.flag_id, history.c.undoes == entry.id)
        return [_entry(row) for row in self.connection.execute(wanted.order_by(history.c.id))]

    def state_changes(self, flag: Flag, start: datetime | None, end: datetime | None, limit: int) -> Page[StateChange]:
        changes = sa.select(history).where(history.c.flag_id == flag.id, history.c.action.in_(STATE_CHANGES))
        ahead = changes.order_by(*ORDER).limit(limit + 1)
        if end is not None:
            ahead = ahead.where(history.c.effective_at < end)
        if start is None:
            return _state_changes([], self.connection.execute(ahead).all(), limit)
        behind = changes.where(history.c.effective_at <= start).order_by(*(column.desc() for column in ORDER)).limit(1)
        following = self.connection.execute(ahead.where(history.c.effective_at > start)).all()
        return _state_changes(self.connection.execute(behind).all(), following, limit)

    def state_changes_of(
        self, flags: Collection[Flag], start: datetime, limit: int
    ) -> tuple[Mapping[UUID, Sequence[StateChange]], datetime | None]:
        given = FLAG_ROWS.parameters([flag.id] for flag in flags)
        dialect = self.connection.dialect.name
        ahead = self.connection.execute(_ahead(dialect), {**given, "start": start, "limit_": limit + 1}).all()
        since = ahead[limit - 1].effective_at if len(ahead) > limit else None
        behind = self.connection.execute(_behind(dialect), {**given, "start": start if since is None else since}).all()
        found: dict[UUID, list[StateChange]] = {flag.id: [] for flag in flags}
        for row in [*behind, *(row for row in reversed(ahead) if since is None or row.effective_at > since)]:
            if change := _state_change(row):
                found[row.flag_id].append(change)
        return found, since

    def append(self, entries: Sequence[Entry]) -> None:
        if entries:
            rows = ENTRY_ROWS.parameters(map(_row, entries))
            self.connection.execute(_appended(self.connection.dialect.name), rows)

    def append_one(self, entry: Entry) -> StoredEntry:
        values = dict(zip(WRITTEN, _row(entry), strict=True))
        return _entry(self.connection.execute(sa.insert(history).values(values).returning(history)).one())


def _conditions(query: HistoryQuery) -> list[sa.ColumnElement[bool]]:
    columns = history.c
    conditions = [
        columns.environment == query.environment if query.flag_id is None else columns.flag_id == query.flag_id,
        None if query.flag_key is None else columns.flag_key == query.flag_key,
        None if query.action is None else columns.action == query.action.value,
        None if query.actor is None else columns.actor == query.actor,
        None if query.start is None else columns.effective_at >= query.start,
        None if query.end is None else columns.effective_at < query.end,
    ]
    return [condition for condition in conditions if condition is not None]


def _state_changes(behind: Sequence[sa.Row[Any]], following: Sequence[sa.Row[Any]], limit: int) -> Page[StateChange]:
    changes = (_state_change(row) for row in [*behind, *following[:limit]])
    return Page([change for change in changes if change], more=len(following) > limit)


def _state_change(row: sa.Row[Any]) -> StateChange | None:
    state = state_of(row.after or {}, row.flag_version, row.effective_at)
    archives = row.action == Action.FLAG_ARCHIVED.value
    return None if state is None else StateChange(row.id, row.schedule_id, state, archives)


def _entry(row: sa.Row[Any]) -> StoredEntry:
    return StoredEntry(
        id=row.id,
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
        undoes=row.undoes,
    )


def _row(entry: Entry) -> list[Any]:
    """The columns of WRITTEN, in their order."""
    return [
        entry.flag_id,
        entry.name.key,
        entry.name.environment,
        entry.action.value,
        entry.schedule_id,
        entry.flag_version,
        None if entry.before is None else document_of(entry.before),
        _after(entry),
        entry.actor,
        entry.request_id,
        entry.effective_at,
        entry.recorded_at,
        entry.undoes,
    ]


def _after(entry: Entry) -> Document | None:
    after = None if entry.after is None else document_of(entry.after)
    return after if entry.exemption is None else (after or {}) | entry.exemption.as_json()
