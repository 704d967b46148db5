"""A flag: its name, its state as last written, and the bookkeeping that every change of it needs."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self
from uuid import UUID

from flagsched.domain.errors import FlagChanged, FlagMissing
from flagsched.domain.overrides import OverrideChange, OverrideType
from flagsched.domain.updates import Change, Updates

DEFAULT_ENVIRONMENT = "production"
FLAG_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
ENVIRONMENT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MAX_DESCRIPTION = 1000


@dataclass(frozen=True, slots=True)
class FlagName:
    """Which flag: unique by environment and key among the flags that are not archived."""

    environment: str
    key: str

    @classmethod
    def asked(cls, environment: str, key: str) -> Self:
        """The name in a request. One that no flag can have raises FlagMissing, and never reaches the database."""
        if not (FLAG_KEY.fullmatch(key) and ENVIRONMENT.fullmatch(environment)):
            raise FlagMissing(environment, key)
        return cls(environment, key)


@dataclass(frozen=True, slots=True)
class FlagState:
    """What a flag is: its settings, their version, and the effective instant of the last change.

    `overrides` has, in order, what was changed of its overrides and is not written yet. A written state has none.
    `edited_version` is the last one in which an admin edited its settings by hand, 0 if none did: conditions ask it,
    but it is no part of what the flag is.
    """

    enabled: bool
    rollout_percentage: int
    version: int
    changed_at: datetime
    overrides: tuple[OverrideChange, ...] = ()
    edited_version: int = field(default=0, compare=False)

    @property
    def written(self) -> Self:
        """The same once it is written down, and its overrides are where all others are."""
        return replace(self, overrides=()) if self.overrides else self

    def override_of(self, user_id: str) -> OverrideType | None:
        """The override of a user, as far as the state knows: that of the last change."""
        return next((one.kind for one in reversed(self.overrides) if one.user_id == user_id), None)

    def succeeded(self, at: datetime) -> Self:
        """The next version, in effect from `at`, with the same settings."""
        return replace(self, version=self.version + 1, changed_at=at)


def apply(state: FlagState, change: Change, at: datetime) -> FlagState:
    """The state after `change` took effect at `at`: one version more, also for equal values."""
    if isinstance(change, OverrideChange):
        return replace(state.succeeded(at), overrides=(*state.overrides, change.under(None)))
    return FlagState(
        state.enabled if change.enabled is None else change.enabled,
        state.rollout_percentage if change.rollout_percentage is None else change.rollout_percentage,
        state.version + 1,
        at,
        state.overrides,
        state.edited_version,
    )


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag as last written. What it is at an instant is for `timeline.state_at` to say."""

    id: UUID
    name: FlagName
    description: str
    state: FlagState
    last_seq: int
    next_due_at: datetime | None
    created_at: datetime
    archived_at: datetime | None = None

    def now(self, clock: datetime) -> datetime:
        """The flag's own present: the clock, but never before its last change: a clock set back reorders nothing."""
        return max(clock, self.state.changed_at)

    def is_due(self, clock: datetime) -> bool:
        """Is something of its agenda in effect that is not recorded yet?"""
        return self.next_due_at is not None and self.next_due_at <= self.now(clock)

    def edited(self, edit: "FlagEdit", at: datetime) -> Self:
        """The flag after an accepted edit at `at`: one version more, whatever the values."""
        description = self.description if edit.description is None else edit.description
        if edit.updates is None:
            return replace(self, state=self.state.succeeded(at), description=description)
        state = apply(self.state, edit.updates, at)
        return replace(self, state=replace(state, edited_version=state.version), description=description)

    def with_schedules(self, last_seq: int, due_at: datetime | None) -> Self:
        """The flag with more on its agenda: numbered up to `last_seq`, and due at `due_at`, if a hold lets it."""
        instants = (at for at in (self.next_due_at, due_at) if at is not None)
        return replace(self, last_seq=last_seq, next_due_at=min(instants, default=None))

    def archived(self, at: datetime) -> Self:
        """The flag after its end at `at`, with nothing on its agenda."""
        return replace(self, state=self.state.succeeded(at), archived_at=at, next_due_at=None)

    def restored(self, at: datetime) -> Self:
        """The flag once it is live again after its end, as it was."""
        return replace(self, state=self.state.succeeded(at), archived_at=None)


@dataclass(frozen=True, slots=True)
class Precondition:
    """Which versions of what it changes a change is made for; any, unless they are said."""

    versions: Collection[tuple[UUID, int]] | None = None

    def allows(self, id_: UUID, version: int) -> bool:
        """Is it made for this version of what has this id?"""
        return self.versions is None or (id_, version) in self.versions

    def check(self, flag: Flag) -> None:
        """Raise FlagChanged if the flag is in another version."""
        if not self.allows(flag.id, flag.state.version):
            raise FlagChanged(flag.name.key, flag.state.version)


ANY_VERSION = Precondition()


@dataclass(frozen=True, slots=True)
class NewFlag:
    """A flag that is asked for."""

    name: FlagName
    enabled: bool = False
    rollout_percentage: int = 100
    description: str = ""

    def born(self, flag_id: UUID, at: datetime) -> Flag:
        """The flag that this makes at `at`, in version 1."""
        return Flag(
            id=flag_id,
            name=self.name,
            description=self.description,
            state=FlagState(self.enabled, self.rollout_percentage, version=1, changed_at=at),
            last_seq=0,
            next_due_at=None,
            created_at=at,
        )


@dataclass(frozen=True, slots=True)
class FlagEdit:
    """What an admin changes of a flag at once; None leaves a field as it is."""

    updates: Updates | None = None
    description: str | None = None
