"""Overrides in the database."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from flagsched.database.connections.engine import insert_for
from flagsched.database.row_parameters import RowParameters
from flagsched.database.schema.tables import overrides, schedules
from flagsched.domain.flags import Flag
from flagsched.domain.overrides import PLANNED, Override, OverrideType
from flagsched.domain.schedules import PendingSchedule
from flagsched.domain.timeline import Replay
from flagsched.ports.overrides import OverrideQuery
from flagsched.ports.pages import Page

WRITTEN = ("override_type", "reason", "created_by", "created_at")
USER_ROWS = RowParameters({"flag_id": sa.Uuid(), "user_id": sa.Text()})
PLANNED_ROWS = RowParameters(
    {
        "flag_id": sa.Uuid(),
        "user_id": sa.Text(),
        "override_type": sa.Text(),
        "seq": sa.BigInteger(),
        "created_at": overrides.c.created_at.type,
    }
)


@cache
def _among(dialect: str) -> sa.Select[Any]:
    rows = USER_ROWS.given(dialect)
    same = sa.and_(*(overrides.c[name] == rows.c[name] for name in USER_ROWS.names))
    return sa.select(overrides).join_from(rows, overrides, same)


@cache
def _planned(dialect: str) -> sa.Insert:
    """Set overrides as the schedules of these numbers say."""
    rows = PLANNED_ROWS.given(dialect)
    values = {name: rows.c[name] for name in PLANNED_ROWS.names if name != "seq"}
    values |= {"reason": sa.literal(PLANNED), "created_by": schedules.c.created_by}
    # A WHERE, since SQLite takes the ON of a join for that of ON CONFLICT.
    same = sa.and_(*(schedules.c[name] == rows.c[name] for name in ("flag_id", "seq")))
    return _replacing(insert_for(dialect, overrides).from_select(list(values), sa.select(*values.values()).where(same)))


def _replacing(insert: Any) -> sa.Insert:
    """In the place of those of the same users."""
    replacing = {name: insert.excluded[name] for name in WRITTEN}
    replaced: sa.Insert = insert.on_conflict_do_update(index_elements=["flag_id", "user_id"], set_=replacing)
    return replaced


@cache
def _removed(dialect: str) -> sa.Delete:
    rows = USER_ROWS.given(dialect)
    users = sa.select(*(rows.c[name] for name in USER_ROWS.names))
    return sa.delete(overrides).where(sa.tuple_(*(overrides.c[name] for name in USER_ROWS.names)).in_(users))


@dataclass(frozen=True, slots=True)
class Overrides:
    """Implements `ports.overrides`."""

    connection: sa.Connection

    def find(self, flag: Flag, user_id: str) -> Override | None:
        row = self.connection.execute(sa.select(overrides).where(_of(flag, user_id))).one_or_none()
        return None if row is None else _override(row)

    def page(self, flag: Flag, query: OverrideQuery) -> Page[Override]:
        wanted = sa.select(overrides).where(overrides.c.flag_id == flag.id)
        if query.after is not None:
            wanted = wanted.where(overrides.c.user_id > query.after)
        rows = self.connection.execute(wanted.order_by(overrides.c.user_id).limit(query.limit + 1)).all()
        return Page([_override(row) for row in rows[: query.limit]], more=len(rows) > query.limit)

    def among(self, users: Mapping[UUID, Collection[str]]) -> Sequence[Override]:
        rows = USER_ROWS.parameters((flag_id, user_id) for flag_id, of_flag in users.items() for user_id in of_flag)
        return [_override(row) for row in self.connection.execute(_among(self._dialect), rows)]

    def count(self, flag: Flag, besides: Collection[str] = ()) -> int:
        counted = sa.select(sa.func.count()).where(overrides.c.flag_id == flag.id)
        if besides:
            counted = counted.where(overrides.c.user_id.not_in(besides))
        number: int = self.connection.execute(counted).scalar_one()
        return number

    def put(self, override: Override) -> None:
        row = {
            "override_type": override.kind.value,
            "reason": override.reason,
            "created_by": override.created_by,
            "created_at": override.created_at,
        }
        insert = insert_for(self._dialect, overrides).values(flag_id=override.flag_id, user_id=override.user_id, **row)
        self.connection.execute(_replacing(insert))

    def remove(self, override: Override) -> None:
        which = (overrides.c.flag_id == override.flag_id, overrides.c.user_id == override.user_id)
        self.connection.execute(sa.delete(overrides).where(*which))

    def settle(self, replays: Sequence[Replay[PendingSchedule]]) -> None:
        ends = [(each.flag.id, user_id, step) for each in replays for user_id, step in each.overridden.items()]
        planned = [
            (flag_id, user_id, kind.value, step.schedule.seq, step.effective_at)
            for flag_id, user_id, step in ends
            if (kind := step.after.override_of(user_id))
        ]
        removed = [(flag_id, user_id) for flag_id, user_id, step in ends if not step.after.override_of(user_id)]
        if planned:
            self.connection.execute(_planned(self._dialect), PLANNED_ROWS.parameters(planned))
        if removed:
            self.connection.execute(_removed(self._dialect), USER_ROWS.parameters(removed))

    @property
    def _dialect(self) -> str:
        return self.connection.dialect.name


def _of(flag: Flag, user_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(overrides.c.flag_id == flag.id, overrides.c.user_id == user_id)


def _override(row: sa.Row[Any]) -> Override:
    return Override(
        flag_id=row.flag_id,
        user_id=row.user_id,
        kind=OverrideType(row.override_type),
        reason=row.reason,
        created_by=row.created_by,
        created_at=row.created_at,
    )
