"""Holds in the database."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa

from flagsched.database.row_parameters import RowParameters
from flagsched.database.schema.tables import holds
from flagsched.domain.agenda import Agenda
from flagsched.domain.flags import Flag
from flagsched.domain.holds import AtEnd, Hold, HoldStatus
from flagsched.domain.schedules import PendingSchedule
from flagsched.ports.holds import HoldQuery
from flagsched.ports.pages import Page

AnyPending = TypeVar("AnyPending", bound=PendingSchedule)
ORDER = (holds.c.starts_at, holds.c.id)
SINCE = sa.bindparam("since", type_=holds.c.ends_at.type)
NOT_OVER = sa.or_(holds.c.ends_at.is_(None), holds.c.ends_at > SINCE)
FOUND = sa.select(holds).where(holds.c.id == sa.bindparam("id_"))
EXIST = sa.exists().select_from(holds)
"""Is there any hold, over or not?"""
FLAG_ROWS = RowParameters({"flag_id": holds.c.flag_id.type})


@cache
def _bearing_on(dialect: str) -> sa.CompoundSelect[Any]:
    rows = FLAG_ROWS.given(dialect)
    of_flags = sa.select(holds).join_from(rows, holds, sa.and_(holds.c.flag_id == rows.c.flag_id, NOT_OVER))
    of_environments = sa.select(holds).where(
        holds.c.environment.in_(sa.bindparam("environments", expanding=True)), holds.c.flag_id.is_(None), NOT_OVER
    )
    return sa.union_all(of_flags, of_environments)


@dataclass(slots=True)
class AnyHolds:
    """Is there any hold, as of a transaction's last look at the clock? Without any, no query looks for those of a flag.

    A writer looks at the clock under its locks, so nobody places a hold on its flags after that.
    """

    exist: bool = True

    def forget(self) -> None:
        """Look again."""
        self.exist = True


@dataclass(frozen=True, slots=True)
class Holds:
    """Implements `ports.holds`."""

    connection: sa.Connection
    known: AnyHolds = field(default_factory=AnyHolds)

    def find(self, hold_id: UUID) -> Hold | None:
        row = self.connection.execute(FOUND, {"id_": hold_id}).one_or_none()
        return None if row is None else _hold(row)

    def all(self) -> list[Hold]:
        """Every hold that ever was, for the doctor."""
        return [_hold(row) for row in self.connection.execute(sa.select(holds))]

    def page(self, query: HoldQuery, now: datetime) -> Page[Hold]:
        wanted = sa.select(holds)
        if query.environment is not None:
            wanted = wanted.where(holds.c.environment == query.environment)
        if query.flag_id is not None:
            wanted = wanted.where(sa.or_(holds.c.flag_id == query.flag_id, holds.c.flag_id.is_(None)))
        if query.status is not None:
            wanted = wanted.where(_has_status(query.status, now))
        if query.after is not None:
            wanted = wanted.where(sa.tuple_(*ORDER) > sa.tuple_(*query.after, types=[c.type for c in ORDER]))
        rows = self.connection.execute(wanted.order_by(*ORDER).limit(query.limit + 1)).all()
        return Page([_hold(row) for row in rows[: query.limit]], more=len(rows) > query.limit)

    def bearing_on(self, flags: Collection[Flag], since: datetime) -> Mapping[UUID, tuple[Hold, ...]]:
        if not self.known.exist:
            return {}
        given = FLAG_ROWS.parameters([flag.id] for flag in flags)
        environments = {flag.name.environment for flag in flags}
        rows = self.connection.execute(
            _bearing_on(self.connection.dialect.name), {**given, "environments": [*environments], "since": since}
        ).all()
        return _by_flag(flags, [_hold(row) for row in rows]) if rows else {}

    def over(
        self, flags: Collection[Flag], agendas: Mapping[UUID, Agenda[AnyPending]]
    ) -> Mapping[UUID, Agenda[AnyPending]]:
        """The agendas of these flags under the holds that bear on them."""
        filled = [flag for flag in flags if flag.id in agendas and agendas[flag.id].begins_at is not None]
        if not filled:
            return agendas
        since = min(begins_at for flag in filled if (begins_at := agendas[flag.id].begins_at))
        found = self.bearing_on(filled, since)
        return {**agendas, **{flag_id: agendas[flag_id].under(own) for flag_id, own in found.items()}}

    def of_plan(self, plan_id: UUID) -> list[Hold]:
        return [_hold(row) for row in self.connection.execute(sa.select(holds).where(holds.c.plan_id == plan_id))]

    def count(self, environment: str, flag_id: UUID | None, now: datetime) -> int:
        of_flag = holds.c.flag_id.is_(None) if flag_id is None else holds.c.flag_id == flag_id
        not_released = holds.c.released_at.is_(None)
        wanted = sa.select(sa.func.count()).where(holds.c.environment == environment, of_flag, not_released, NOT_OVER)
        number: int = self.connection.execute(wanted, {"since": now}).scalar_one()
        return number

    def add(self, added: Collection[Hold]) -> None:
        self.connection.execute(sa.insert(holds), [_row(hold) for hold in added])
        self.known.forget()

    def change(self, hold: Hold) -> None:
        self.connection.execute(sa.update(holds).where(holds.c.id == hold.id).values(_row(hold)))


def _by_flag(flags: Collection[Flag], found: Collection[Hold]) -> Mapping[UUID, tuple[Hold, ...]]:
    own: dict[UUID, list[Hold]] = defaultdict(list)
    shared: dict[str, list[Hold]] = defaultdict(list)
    for hold in found:
        if hold.flag_id is None:
            shared[hold.environment].append(hold)
        else:
            own[hold.flag_id].append(hold)
    of_environment = {environment: tuple(some) for environment, some in shared.items()}
    bearing = {
        flag.id: (*own.get(flag.id, ()), *of_environment.get(flag.name.environment, ()))
        if flag.id in own
        else of_environment.get(flag.name.environment, ())  # One tuple for all flags, however many there are.
        for flag in flags
    }
    return {flag_id: some for flag_id, some in bearing.items() if some}


def _has_status(status: HoldStatus, now: datetime) -> sa.ColumnElement[bool]:
    over = sa.or_(holds.c.ends_at <= now, holds.c.ends_at <= holds.c.starts_at)
    match status:
        case HoldStatus.OVER:
            return over
        case HoldStatus.ACTIVE:
            return sa.and_(holds.c.starts_at <= now, over.is_not(True))
        case HoldStatus.UPCOMING:
            return sa.and_(holds.c.starts_at > now, over.is_not(True))


def _row(hold: Hold) -> dict[str, Any]:
    return {column.name: getattr(hold, column.name) for column in holds.c} | {"at_end": hold.at_end.value}


def _hold(row: sa.Row[Any]) -> Hold:
    return Hold(**{**row._mapping, "at_end": AtEnd(row.at_end)})
