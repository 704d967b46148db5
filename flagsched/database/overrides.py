"""Overrides in the database."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from flagsched.database.connections.engine import insert_for
from flagsched.database.schema.tables import overrides
from flagsched.domain.flags import Flag
from flagsched.domain.overrides import Override, OverrideType
from flagsched.ports.overrides import OverrideQuery
from flagsched.ports.pages import Page

WRITTEN = ("override_type", "reason", "created_by", "created_at")


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

    def count(self, flag: Flag) -> int:
        counted = sa.select(sa.func.count()).where(overrides.c.flag_id == flag.id)
        number: int = self.connection.execute(counted).scalar_one()
        return number

    def put(self, override: Override) -> None:
        row = {
            "override_type": override.kind.value,
            "reason": override.reason,
            "created_by": override.created_by,
            "created_at": override.created_at,
        }
        insert = insert_for(self.connection.dialect.name, overrides).values(
            flag_id=override.flag_id, user_id=override.user_id, **row
        )
        replacing = {name: insert.excluded[name] for name in WRITTEN}
        self.connection.execute(insert.on_conflict_do_update(index_elements=["flag_id", "user_id"], set_=replacing))

    def remove(self, override: Override) -> None:
        which = (overrides.c.flag_id == override.flag_id, overrides.c.user_id == override.user_id)
        self.connection.execute(sa.delete(overrides).where(*which))


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
