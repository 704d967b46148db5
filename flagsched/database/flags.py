"""Flags in the database."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from flagsched.database.clock import Clock
from flagsched.database.connections.engine import insert_for
from flagsched.database.errors import OVERTAKEN
from flagsched.database.holds import AnyHolds
from flagsched.database.row_parameters import RowParameters
from flagsched.database.schema.tables import environments, flags
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
    "next_due_at",
    "changed_at",
    "archived_at",
    "edited_version",
)
READ = (*WRITTEN, "environment", "key", "created_at")
SELECTED = sa.select(*(flags.c[name] for name in READ))
MAX_LAST_ERROR = 1000
FLAG_ROWS = RowParameters({name: flags.c[name].type for name in WRITTEN})
CHANGED_ROWS = RowParameters({name: flags.c[name].type for name in (*WRITTEN, "revision")})
REPAIRED_ROWS = RowParameters({name: flags.c[name].type for name in ("id", "next_due_at")})
FOUND = SELECTED.where(LIVE, flags.c.environment == sa.bindparam("environment_"), flags.c.key == sa.bindparam("key_"))
# NO KEY: a plain FOR UPDATE would let foreign-key checks hide the flag from the worker.
LOCKED = SELECTED.order_by(flags.c.id).with_for_update(key_share=True)
NOT_PASSED_OVER = flags.c.id.not_in(sa.bindparam("passing_over", expanding=True))


claimable_at = sa.case((flags.c.retry_at > flags.c.next_due_at, flags.c.retry_at), else_=flags.c.next_due_at)
EARLIEST_DUE = sa.select(sa.func.min(claimable_at)).where(flags.c.next_due_at.is_not(None), NOT_PASSED_OVER)
EARLIEST_DUE_AFTER = EARLIEST_DUE.where(claimable_at > sa.bindparam("after", type_=flags.c.next_due_at.type))


@lru_cache(maxsize=1024)
def _locked(names: int, by_id: bool) -> sa.Select[Any]:
    """Flags by so many names, and by ids if `by_id`, locked."""
    # Written out: of pairs in a list, SQLite's index finds none.
    wanted = [
        sa.and_(flags.c.environment == sa.bindparam(f"environment_{n}"), flags.c.key == sa.bindparam(f"key_{n}"))
        for n in range(names)
    ]
    if by_id:
        wanted.append(flags.c.id.in_(sa.bindparam("ids_", expanding=True)))
    return LOCKED.where(LIVE, sa.or_(*wanted))


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
        # Judged on the locked row itself: after a wait for the lock the database reads it again.
        now = self._clock.at_transaction()
        return SELECTED.where(
            flags.c.next_due_at <= now,
            sa.or_(flags.c.retry_at.is_(None), flags.c.retry_at <= now),
        ).with_for_update(key_share=True, skip_locked=True)

    @cached_property
    def settle(self) -> sa.Update:
        """Write flags as they were recorded."""
        return _written(FLAG_ROWS.given(self.dialect), WRITTEN)

    @cached_property
    def change(self) -> sa.Update:
        """Write flags, unless something of an agenda before or after is in effect."""
        rows, now = CHANGED_ROWS.given(self.dialect), self._clock.at_statement()
        still_ahead = [sa.or_(due_at.is_(None), due_at > now) for due_at in (flags.c.next_due_at, rows.c.next_due_at)]
        return _written(rows, (*WRITTEN, "revision")).where(*still_ahead)

    @cached_property
    def repair(self) -> sa.Update:
        """Write when flags are due next."""
        return _written(REPAIRED_ROWS.given(self.dialect), ("next_due_at",)).values(revision=sa.bindparam("revision_"))


def _written(rows: sa.FromClause, names: Sequence[str]) -> sa.Update:
    values: dict[str, Any] = {name: rows.c[name] for name in names if name != "id"}
    values |= {"retry_at": None, "last_error": None}
    return sa.update(flags).where(flags.c.id == rows.c.id).values(values)


@dataclass(frozen=True, slots=True)
class Flags:
    """Implements `ports.flags`."""

    connection: sa.Connection
    statements: FlagStatements
    known: AnyHolds

    def find(self, name: FlagName) -> Flag | None:
        return self._one(FOUND, {"environment_": name.environment, "key_": name.key})

    def page(self, query: FlagQuery) -> Page[Flag]:
        wanted = SELECTED.where(LIVE, flags.c.environment == query.environment)
        if query.search:
            wanted = wanted.where(flags.c.key.icontains(query.search, autoescape=True))
        if query.after is not None:
            wanted = wanted.where(flags.c.key > query.after)
        found = self._all(wanted.order_by(flags.c.key).limit(query.limit + 1))
        return Page(found[: query.limit], more=len(found) > query.limit)

    def among(self, flag_ids: Collection[UUID]) -> Mapping[UUID, Flag]:
        return {flag.id: flag for flag in self._all(SELECTED.where(flags.c.id.in_(flag_ids)))}

    def earliest_due(self, *, passing_over: Collection[UUID], after: datetime | None = None) -> datetime | None:
        asked = EARLIEST_DUE if after is None else EARLIEST_DUE_AFTER
        given = {"passing_over": passing_over, "after": after}
        due_at: datetime | None = self.connection.execute(asked, given).scalar_one()
        return due_at

    def lock(self, names: Collection[FlagName], ids: Collection[UUID] = ()) -> Mapping[FlagName, Flag]:
        given: dict[str, Any] = {"ids_": ids} if ids else {}
        for n, name in enumerate(names):
            given |= {f"environment_{n}": name.environment, f"key_{n}": name.key}
        return {flag.name: flag for flag in self._all(_locked(len(names), bool(ids)), given)} if given else {}

    def claim_due(self, limit: int, *, passing_over: Collection[UUID]) -> list[Flag]:
        return self._all(self.statements.claim_due, {"passing_over": passing_over, "limit_": limit})

    def claim(self, flag_id: UUID) -> Flag | None:
        return self._one(self.statements.claim, {"id_": flag_id})

    def add(self, flag: Flag) -> None:
        self._lock_creation("pg_advisory_xact_lock_shared", flag.name.environment)
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
        self.connection.execute(
            self.statements.settle, FLAG_ROWS.parameters([*_row(flag).values()] for flag in recorded)
        )

    def change(self, flags: Sequence[Flag], revisions: Mapping[str, int]) -> None:
        rows = CHANGED_ROWS.parameters([*_row(flag).values(), revisions[flag.name.environment]] for flag in flags)
        if self.connection.execute(self.statements.change, rows).rowcount != len(flags):
            raise Overtaken(OVERTAKEN)

    def lock_environment(self, environment: str) -> list[Flag]:
        return self._all(LOCKED.where(flags.c.environment == environment))

    def lock_live(self, environment: str) -> list[Flag]:
        self._lock_creation("pg_advisory_xact_lock", environment)
        return self._all(LOCKED.where(flags.c.environment == environment, LIVE))

    def lock_archived(self, flag_id: UUID, environment: str) -> Flag | None:
        self._lock_creation("pg_advisory_xact_lock_shared", environment)
        return self._one(LOCKED.where(flags.c.id == sa.bindparam("id_"), ~LIVE), {"id_": flag_id})

    def revive(self, flag: Flag) -> None:
        revived = sa.update(flags).where(flags.c.id == flag.id).values(archived_at=None)
        try:
            self.connection.execute(revived)
        except sa.exc.IntegrityError as error:
            raise FlagExists(flag.name.environment, flag.name.key) from error

    def exists(self, environment: str) -> bool:
        wanted = sa.select(sa.exists().where(environments.c.name == environment))
        return bool(self.connection.execute(wanted).scalar_one())

    def repair(self, flags: Sequence[Flag], revision: int) -> None:
        if self.statements.dialect == "postgresql":
            # It changes no agenda, so what is due may well be in effect already.
            self.connection.execute(sa.select(sa.func.set_config("flagsched.repairing", "on", True)))
        rows = REPAIRED_ROWS.parameters([flag.id, flag.next_due_at] for flag in flags)
        self.connection.execute(self.statements.repair, rows | {"revision_": revision})

    def postpone(self, flag_id: UUID, *, until: datetime, error: str) -> None:
        postponed = {"retry_at": until, "last_error": error[:MAX_LAST_ERROR]}
        self.connection.execute(sa.update(flags).where(flags.c.id == flag_id).values(postponed))

    def _lock_creation(self, lock: str, environment: str) -> None:
        # Rows that are yet to be created can't be locked. On SQLite a writer is alone anyway.
        if self.statements.dialect == "postgresql":
            self.connection.execute(sa.select(getattr(sa.func, lock)(_creation_key(environment))))
            self.known.forget()

    def _one(self, query: sa.Select[Any], given: Mapping[str, Any]) -> Flag | None:
        row = self.connection.execute(query, given).one_or_none()
        return None if row is None else flag_of(row)

    def _all(self, query: sa.Select[Any], given: Mapping[str, Any] | None = None) -> list[Flag]:
        return [flag_of(row) for row in self.connection.execute(query, given)]


def _creation_key(environment: str) -> int:
    """The advisory lock under which flags are created in an environment: 64 bits that no other program will use."""
    digest = blake2b(f"flagsched: flags of {environment}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _row(flag: Flag) -> dict[str, Any]:
    """The columns of WRITTEN, in their order."""
    return {
        "id": flag.id,
        "enabled": flag.state.enabled,
        "rollout_percentage": flag.state.rollout_percentage,
        "description": flag.description,
        "version": flag.state.version,
        "last_seq": flag.last_seq,
        "next_due_at": flag.next_due_at,
        "changed_at": flag.state.changed_at,
        "archived_at": flag.archived_at,
        "edited_version": flag.state.edited_version,
    }


def flag_of(row: sa.Row[Any]) -> Flag:
    """The flag that a row of SELECTED tells of."""
    return Flag(
        id=row.id,
        name=FlagName(row.environment, row.key),
        description=row.description,
        state=FlagState(
            row.enabled, row.rollout_percentage, row.version, row.changed_at, edited_version=row.edited_version
        ),
        last_seq=row.last_seq,
        next_due_at=row.next_due_at,
        created_at=row.created_at,
        archived_at=row.archived_at,
    )
