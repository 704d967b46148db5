"""What a snapshot is made of, read in the one transaction that its revision is read in."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from flagsched.database.flags import LIVE, SELECTED, flag_of
from flagsched.database.tables import environments, flags, is_pending, overrides, schedules
from flagsched.domain.overrides import OverrideType
from flagsched.domain.schedules import Planned
from flagsched.domain.snapshot import FlagPlan, plans_of

IN_ENVIRONMENT = flags.c.environment == sa.bindparam("environment_")
ALL = sa.and_(IN_ENVIRONMENT, LIVE)
CHANGED = sa.and_(IN_ENVIRONMENT, flags.c.revision > sa.bindparam("revision_"))
REVISIONS = sa.select(environments.c.name, environments.c.revision)


def _flags(wanted: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return SELECTED.where(wanted).order_by(flags.c.key)


def _pending(wanted: sa.ColumnElement[bool]) -> sa.Select[Any]:
    columns = (schedules.c[name] for name in ("flag_id", "seq", "scheduled_at", "updates"))
    return sa.select(*columns).join(flags).where(wanted, is_pending)


def _overrides(wanted: sa.ColumnElement[bool]) -> sa.Select[Any]:
    columns = (overrides.c[name] for name in ("flag_id", "user_id", "override_type"))
    return sa.select(*columns).join(flags).where(wanted)


READ_ALL = (_flags(ALL), _pending(ALL), _overrides(ALL))
READ_CHANGED = (_flags(CHANGED), _pending(CHANGED), _overrides(CHANGED))


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Implements `ports.SnapshotReader`."""

    connection: sa.Connection

    def revisions(self) -> Mapping[str, int]:
        """See `ports.SnapshotReader`."""
        return {row.name: row.revision for row in self.connection.execute(REVISIONS)}

    def whole(self, environment: str) -> list[FlagPlan]:
        """See `ports.SnapshotReader`."""
        return self._read(READ_ALL, {"environment_": environment})

    def changed_since(self, environment: str, revision: int) -> list[FlagPlan]:
        """See `ports.SnapshotReader`."""
        return self._read(READ_CHANGED, {"environment_": environment, "revision_": revision})

    def _read(self, queries: tuple[sa.Select[Any], ...], given: Mapping[str, Any]) -> list[FlagPlan]:
        read_flags, read_pending, read_overrides = queries
        found = [flag_of(row) for row in self.connection.execute(read_flags, given)]
        pending: dict[UUID, list[Planned]] = defaultdict(list)
        for flag_id, seq, scheduled_at, updates in self.connection.execute(read_pending, given):
            pending[flag_id].append(Planned(seq, scheduled_at, updates))
        set_apart: dict[UUID, dict[str, bool]] = defaultdict(dict)
        for flag_id, user_id, kind in self.connection.execute(read_overrides, given):
            set_apart[flag_id][user_id] = kind == OverrideType.INCLUDE.value
        return plans_of(found, pending, set_apart)
