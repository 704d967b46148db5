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
from flagsched.database.schema.tables import environments, flags, is_pending, overrides
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


def _agendas(wanted: sa.ColumnElement[bool]) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """What is pending, and the overrides, of these flags."""
    set_apart = (overrides.c[name] for name in ("flag_id", "user_id", "override_type"))
    return (
        sa.select(*AGENDA).join(flags).where(wanted, is_pending),
        sa.select(*set_apart).join(flags).where(wanted),
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
        self, found: list[Flag], queries: tuple[sa.Select[Any], sa.Select[Any]], given: Mapping[str, Any]
    ) -> list[FlagSnapshot]:
        read_pending, read_overrides = queries
        agendas = self.holds.over(found, agendas_of(self.connection.execute(read_pending, given)))
        set_apart: dict[UUID, dict[str, bool]] = defaultdict(dict)
        for flag_id, user_id, kind in self.connection.execute(read_overrides, given):
            set_apart[flag_id][user_id] = kind == OverrideType.INCLUDE.value
        return [FlagSnapshot(flag, agendas.get(flag.id, Agenda()), set_apart.get(flag.id, {})) for flag in found]
