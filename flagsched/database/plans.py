"""Plans in the database."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from flagsched.database.connections.engine import insert_for
from flagsched.database.schema.tables import flags, is_live_plan, plans, schedules
from flagsched.domain.errors import PlanExists
from flagsched.domain.plans import Plan
from flagsched.ports.pages import Page
from flagsched.ports.plans import PlanQuery

ORDER = (plans.c.created_at, plans.c.id)
WRITTEN = tuple(column.name for column in plans.c)
CHANGED = ("title", "description", "version", "updated_at", "ended_at")
FOUND = sa.select(plans).where(plans.c.id == sa.bindparam("id_"))
NAMED = sa.select(plans).where(plans.c.name == sa.bindparam("name_"), is_live_plan)


@cache
def _added(dialect: str) -> sa.Insert:
    insert = insert_for(dialect, plans).values({name: sa.bindparam(name) for name in WRITTEN})
    added: sa.Insert = insert.on_conflict_do_nothing(index_elements=["name"], index_where=is_live_plan)
    return added


@dataclass(frozen=True, slots=True)
class Plans:
    """Implements `ports.plans`."""

    connection: sa.Connection

    def find(self, plan_id: UUID) -> Plan | None:
        return self._one(FOUND, {"id_": plan_id})

    def among(self, plan_ids: Collection[UUID]) -> Mapping[UUID, Plan]:
        rows = self.connection.execute(sa.select(plans).where(plans.c.id.in_(plan_ids)))
        return {row.id: _plan(row) for row in rows}

    def page(self, query: PlanQuery) -> Page[Plan]:
        wanted = sa.select(plans).where(*_conditions(query)).order_by(*(column.desc() for column in ORDER))
        if query.before is not None:
            wanted = wanted.where(sa.tuple_(*ORDER) < sa.tuple_(*query.before, types=[c.type for c in ORDER]))
        rows = self.connection.execute(wanted.limit(query.limit + 1)).all()
        return Page([_plan(row) for row in rows[: query.limit]], more=len(rows) > query.limit)

    def add(self, plan: Plan) -> None:
        row = {name: getattr(plan, name) for name in WRITTEN}
        added = self.connection.execute(_added(self.connection.dialect.name), row)
        if added.rowcount != 1:
            raise PlanExists(str(plan.name))

    def lock(self, plan_id: UUID) -> Plan | None:
        return self._one(FOUND.with_for_update(), {"id_": plan_id})

    def lock_named(self, name: str) -> Plan | None:
        return self._one(NAMED.with_for_update(), {"name_": name})

    def change(self, plan: Plan) -> None:
        changed = {name: getattr(plan, name) for name in CHANGED}
        self.connection.execute(sa.update(plans).where(plans.c.id == plan.id).values(changed))

    def _one(self, query: sa.Select[Any], given: dict[str, Any]) -> Plan | None:
        row = self.connection.execute(query, given).one_or_none()
        return None if row is None else _plan(row)


def _conditions(query: PlanQuery) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if query.environment is not None:
        own = sa.select(schedules.c.id).join(flags).where(schedules.c.batch_id == plans.c.id)
        conditions.append(own.where(flags.c.environment == query.environment).exists())
    if query.name is not None:
        conditions.append(plans.c.name == query.name)
    if query.search:
        texts = (plans.c.name, plans.c.title)
        conditions.append(sa.or_(*(text.icontains(query.search, autoescape=True) for text in texts)))
    return conditions


def _plan(row: sa.Row[Any]) -> Plan:
    return Plan(**row._mapping)
