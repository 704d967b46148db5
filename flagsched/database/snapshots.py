"""What a snapshot is made of, read in the one transaction that its revision is read in."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from flagsched.database.errors import translated
from flagsched.database.flags import LIVE, SELECTED, flag_of
from flagsched.database.holds import Holds
from flagsched.database.schedules import AGENDA, agendas_of
from flagsched.database.schema.tables import environments, flags, is_pending, overrides, schedules
from flagsched.domain.agenda import Agenda
from flagsched.domain.flags import Flag
from flagsched.domain.overrides import OverrideType
from flagsched.domain.snapshot import FlagSnapshot

MAX_IDS = 100
IN_ENVIRONMENT = flags.c.environment == sa.bindparam("environment_")
ALL = sa.and_(IN_ENVIRONMENT, LIVE)
CHANGED = sa.and_(IN_ENVIRONMENT, flags.c.revision > sa.bindparam("revision_"))
THESE = flags.c.id.in_(sa.bindparam("ids", expanding=True))
REVISIONS = sa.select(environments.c.name, environments.c.revision)
ALL_FLAGS, CHANGED_FLAGS = (SELECTED.where(wanted).order_by(flags.c.key) for wanted in (ALL, CHANGED))


def _agendas(wanted: sa.ColumnElement[bool]) -> sa.CompoundSelect[Any]:
    """What is pending of these flags and, with a user in place of the rest, their overrides."""
    pending = sa.select(*AGENDA, sa.null().label("user_id"), sa.null().label("override_type"))
    set_apart = sa.select(overrides.c.flag_id, *[sa.null()] * 3, overrides.c.user_id, overrides.c.override_type)
    return sa.union_all(
        pending.join_from(schedules, flags).where(wanted, is_pending),
        set_apart.join_from(overrides, flags).where(wanted),
    )


OF_ALL, OF_CHANGED, OF_THESE = _agendas(ALL), _agendas(CHANGED), _agendas(THESE)


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Implements `ports.snapshots`."""

    connection: sa.Connection
    holds: Holds

    def revisions(self) -> Mapping[str, int]:
        return {row.name: row.revision for row in self.connection.execute(REVISIONS)}

    def whole(self, environment: str) -> list[FlagSnapshot]:
        given = {"environment_": environment}
        with translated():  # Here already: the caller tells the database's trouble from that of a row.
            return self._with_agendas(self._flags(ALL_FLAGS, given), OF_ALL, given)

    def changed_since(self, environment: str, revision: int) -> list[FlagSnapshot]:
        given = {"environment_": environment, "revision_": revision}
        with translated():
            changed = self._flags(CHANGED_FLAGS, given)
            if len(changed) > MAX_IDS:
                return self._with_agendas(changed, OF_CHANGED, given)
            # No index goes by revision, since each edit would have to change it: one search for them is enough.
            return self._with_agendas(changed, OF_THESE, {"ids": [flag.id for flag in changed]})

    def _flags(self, query: sa.Select[Any], given: Mapping[str, Any]) -> list[Flag]:
        return [flag_of(row) for row in self.connection.execute(query, given)]

    def _with_agendas(
        self, found: list[Flag], query: sa.CompoundSelect[Any], given: Mapping[str, Any]
    ) -> list[FlagSnapshot]:
        planned: list[tuple[Any, ...]] = []
        set_apart: dict[UUID, dict[str, bool]] = defaultdict(dict)
        for flag_id, seq, scheduled_at, updates, user_id, kind in self.connection.execute(query, given):
            if user_id is None:
                planned.append((flag_id, seq, scheduled_at, updates))
            else:
                set_apart[flag_id][user_id] = kind == OverrideType.INCLUDE.value
        agendas = self.holds.over(found, agendas_of(planned))
        return [FlagSnapshot(flag, agendas.get(flag.id, Agenda()), set_apart.get(flag.id, {})) for flag in found]
