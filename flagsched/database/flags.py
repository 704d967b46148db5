"""Flags in the database."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from flagsched.database.clock import Clock
from flagsched.database.connections.engine import insert_for
from flagsched.database.errors import OVERTAKEN
from flagsched.database.row_parameters import RowParameters, columns_of
from flagsched.database.schema.tables import flags, is_pending, schedules
from flagsched.domain.errors import FlagExists, Overtaken
from flagsched.domain.flags import Flag, FlagName, FlagState
from flagsched.ports.flags import FlagQuery
from flagsched.ports.pages import Page

LIVE = flags.c.archived_at.is_(None)
WRITTEN = (
    "id",
    "enabled",
    "rollout_percentage",
    "description",
    "version",
    "last_seq",
    "changed_at",
    "archived_at",
)
READ = (*WRITTEN, "environment", "key", "next_due_at", "created_at")
SELECTED = sa.select(*(flags.c[name] for name in READ))
NEXT_DUE_AT = (
    sa.select(sa.func.min(schedules.c.scheduled_at))
    .where(schedules.c.flag_id == flags.c.id, is_pending)
    .correlate(flags)
    .scalar_subquery()
)
LAST_ERROR_LENGTH = 1000
GIVEN = RowParameters({name: flags.c[name].type for name in WRITTEN})
GIVEN_IDS = RowParameters({"id": flags.c.id.type})
NAMED = SELECTED.where(LIVE, flags.c.environment == sa.bindparam("environment_"), flags.c.key == sa.bindparam("key_"))
# NO KEY: a plain FOR UPDATE would let foreign-key checks hide the flag from the worker.
NAMED_LOCKED = NAMED.with_for_update(key_share=True)
NOT_PASSED_OVER = flags.c.id.not_in(sa.bindparam("passing_over", expanding=True))


claimable_at = sa.case((flags.c.retry_at > flags.c.next_due_at, flags.c.retry_at), else_=flags.c.next_due_at)
EARLIEST_DUE = sa.select(sa.func.min(claimable_at)).where(flags.c.next_due_at.is_not(None), NOT_PASSED_OVER)
EARLIEST_DUE_AFTER = EARLIEST_DUE.where(claimable_at > sa.bindparam("after", type_=flags.c.next_due_at.type))


class FlagStatements:
    """What is executed again and again, built once for a dialect and a clock."""

    def __init__(self, dialect: str, clock: Clock) -> None:
        self.dialect = dialect
        self._clock = clock

    @cached_property
    def claim_due(self) -> sa.Select[Any]:
        """Flags with something due, those that have waited longest first."""
        # The row lock is the claim: a worker that dies gives it back by dying.
        due = self._claimable.where(NOT_PASSED_OVER)
        return due.order_by(flags.c.next_due_at).limit(sa.bindparam("limit_", type_=sa.Integer))

    @cached_property
    def claim(self) -> sa.Select[Any]:
        """One flag, if something of it is due."""
        return self._claimable.where(flags.c.id == sa.bindparam("id_"))

    @cached_property
    def _claimable(self) -> sa.Select[Any]:
        # Judged on the locked row itself: after a wait for the lock the database looks at it again.
        now = self._clock.at_transaction()
        return SELECTED.where(
            flags.c.next_due_at <= now,
            sa.or_(flags.c.retry_at.is_(None), flags.c.retry_at <= now),
        ).with_for_update(key_share=True, skip_locked=True)

    @cached_property
    def settle(self) -> sa.Update:
        """Write flags as given, and from what is still pending when the next is due."""
        given = GIVEN.given(self.dialect)
        values: dict[str, Any] = {name: given.c[name] for name in WRITTEN if name != "id"}
        values |= {"next_due_at": NEXT_DUE_AT, "retry_at": None, "last_error": None}
        return sa.update(flags).where(flags.c.id == given.c.id).values(values)

    @cached_property
    def change(self) -> sa.Update:
        """The same, unless something of the plan before or after is in effect."""
        now = self._clock.at_statement()
        still_ahead = [sa.or_(due_at.is_(None), due_at > now) for due_at in (flags.c.next_due_at, NEXT_DUE_AT)]
        return self.settle.where(*still_ahead).values(revision=sa.bindparam("revision_"))


@dataclass(frozen=True, slots=True)
class Flags:
    """Implements `ports.FlagReader` and `ports.FlagWriter`."""

    connection: sa.Connection
    statements: FlagStatements

    def find(self, name: FlagName) -> Flag | None:
        """See `ports.FlagReader`."""
        return self._one(NAMED, _named(name))

    def page(self, query: FlagQuery) -> Page[Flag]:
        """See `ports.FlagReader`."""
        wanted = SELECTED.where(LIVE, flags.c.environment == query.environment)
        if query.search:
            wanted = wanted.where(flags.c.key.icontains(query.search, autoescape=True))
        if query.after is not None:
            wanted = wanted.where(flags.c.key > query.after)
        found = self._all(wanted.order_by(flags.c.key).limit(query.limit + 1))
        return Page(found[: query.limit], more=len(found) > query.limit)

    def among(self, flag_ids: Collection[UUID]) -> Mapping[UUID, Flag]:
        """See `ports.FlagReader`."""
        return {flag.id: flag for flag in self._all(SELECTED.where(flags.c.id.in_(flag_ids)))}

    def earliest_due(self, *, passing_over: Collection[UUID], after: datetime | None = None) -> datetime | None:
        """See `ports.FlagReader`."""
        asked = EARLIEST_DUE if after is None else EARLIEST_DUE_AFTER
        given = {"passing_over": passing_over, "after": after}
        due_at: datetime | None = self.connection.execute(asked, given).scalar_one()
        return due_at

    def lock(self, name: FlagName) -> Flag | None:
        """See `ports.FlagWriter`."""
        return self._one(NAMED_LOCKED, _named(name))

    def claim_due(self, limit: int, *, passing_over: Collection[UUID]) -> list[Flag]:
        """See `ports.FlagWriter`."""
        return self._all(self.statements.claim_due, {"passing_over": passing_over, "limit_": limit})

    def claim(self, flag_id: UUID) -> Flag | None:
        """See `ports.FlagWriter`."""
        return self._one(self.statements.claim, {"id_": flag_id})

    def add(self, flag: Flag) -> None:
        """See `ports.FlagWriter`."""
        row = _row(flag) | {
            "environment": flag.name.environment,
            "key": flag.name.key,
            "created_at": flag.created_at,
            "revision": 0,
        }
        insert = insert_for(self.statements.dialect, flags).values(row)
        taken = insert.on_conflict_do_nothing(index_elements=["environment", "key"], index_where=LIVE)
        added = self.connection.execute(taken)
        if added.rowcount != 1:
            raise FlagExists(flag.name.environment, flag.name.key)

    def settle(self, recorded: Sequence[Flag]) -> None:
        """See `ports.FlagWriter`."""
        self.connection.execute(self.statements.settle, self._given(recorded))

    def change(self, flag: Flag, *, revision: int) -> None:
        """See `ports.FlagWriter`."""
        changed = self.connection.execute(self.statements.change, self._given([flag]) | {"revision_": revision})
        if changed.rowcount != 1:
            raise Overtaken(OVERTAKEN)

    def _given(self, written: Sequence[Flag]) -> dict[str, Any]:
        return GIVEN.parameters(self.statements.dialect, columns_of([_row(flag) for flag in written]))

    def lock_all(self, environment: str) -> list[UUID]:
        """See `ports.FlagWriter`."""
        every = sa.select(flags.c.id).where(flags.c.environment == environment).order_by(flags.c.id)
        return list(self.connection.execute(every.with_for_update(key_share=True)).scalars())

    def recompute(self, locked: Collection[UUID], *, revision: int) -> None:
        """See `ports.FlagWriter`."""
        dialect = self.statements.dialect
        given = GIVEN_IDS.given(dialect)
        next_due_at = sa.case((LIVE, NEXT_DUE_AT), else_=None)
        recomputed = {"next_due_at": next_due_at, "retry_at": None, "last_error": None, "revision": revision}
        recompute = sa.update(flags).where(flags.c.id == given.c.id).values(recomputed)
        if dialect == "postgresql":
            # It changes no plan, so what is due may well be in effect already.
            self.connection.execute(sa.select(sa.func.set_config("flagsched.repairing", "on", True)))
        self.connection.execute(recompute, GIVEN_IDS.parameters(dialect, {"id": list(locked)}))

    def postpone(self, flag_id: UUID, *, until: datetime, error: str) -> None:
        """See `ports.FlagWriter`."""
        postponed = {"retry_at": until, "last_error": error[:LAST_ERROR_LENGTH]}
        self.connection.execute(sa.update(flags).where(flags.c.id == flag_id).values(postponed))

    def _one(self, query: sa.Select[Any], given: Mapping[str, Any]) -> Flag | None:
        row = self.connection.execute(query, given).one_or_none()
        return None if row is None else flag_of(row)

    def _all(self, query: sa.Select[Any], given: Mapping[str, Any] | None = None) -> list[Flag]:
        return [flag_of(row) for row in self.connection.execute(query, given)]


def _named(name: FlagName) -> dict[str, str]:
    return {"environment_": name.environment, "key_": name.key}


def _row(flag: Flag) -> dict[str, Any]:
    return {
        "id": flag.id,
        "enabled": flag.state.enabled,
        "rollout_percentage": flag.state.rollout_percentage,
        "description": flag.description,
        "version": flag.state.version,
        "last_seq": flag.last_seq,
        "changed_at": flag.state.changed_at,
        "archived_at": flag.archived_at,
    }


def flag_of(row: sa.Row[Any]) -> Flag:
    """The flag that a row of SELECTED tells of."""
    return Flag(
        id=row.id,
        name=FlagName(row.environment, row.key),
        description=row.description,
        state=FlagState(row.enabled, row.rollout_percentage, row.version, row.changed_at),
        last_seq=row.last_seq,
        next_due_at=row.next_due_at,
        created_at=row.created_at,
        archived_at=row.archived_at,
    )
