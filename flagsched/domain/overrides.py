"""Overrides: users for whom a flag that is on is on, or off, whatever its percentage."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from flagsched.domain.conditions import Condition
from flagsched.domain.errors import OverrideMissing

# A path must be able to name each: routes take no segment that begins with a slash, and clients resolve `.` and `..`.
USER_ID = re.compile(r"(?!/|\.{1,2}$)[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,256}")
MAX_REASON = 1000
MAX_OVERRIDES = 10_000
"""Of one flag: every process keeps them in memory."""
PLANNED = "planned"
"""The reason of an override that a schedule has set."""
NOT_NAMEABLE = "the user's id is not one that an override can name"


def refuse_unnameable(user_id: str, flag_key: str) -> None:
    """Raise OverrideMissing for a user whom no override can name, before the database is asked for him."""
    if not USER_ID.fullmatch(user_id):
        raise OverrideMissing(user_id, flag_key)


class OverrideType(StrEnum):
    """What an override does with its user."""

    INCLUDE = "include"
    EXCLUDE = "exclude"


@dataclass(frozen=True, slots=True)
class NewOverride:
    """An override that is asked for; ValueError for a user whom none can name."""

    user_id: str
    kind: OverrideType
    reason: str = ""

    def __post_init__(self) -> None:
        if not USER_ID.fullmatch(self.user_id):
            raise ValueError(NOT_NAMEABLE)

    def made(self, flag_id: UUID, by: str, at: datetime) -> "Override":
        """The override that this makes."""
        return Override(flag_id, self.user_id, self.kind, self.reason, by, at)


@dataclass(frozen=True, slots=True)
class Override:
    """What is stored: one user of one flag, set apart."""

    flag_id: UUID
    user_id: str
    kind: OverrideType
    reason: str
    created_by: str
    created_at: datetime


SETS: Mapping[str, OverrideType | None] = {**{kind.value: kind for kind in OverrideType}, "remove": None}
"""What a planned change may do with an override, by the names that it has in JSON."""
NAMES = {kind: name for name, kind in SETS.items()}


@dataclass(frozen=True, slots=True)
class OverrideChange:
    """What a schedule may set in the place of updates: the override of one user, or none (`kind` is None).

    It may have a condition. Raises ValueError for a user whom no override can name.
    """

    user_id: str
    kind: OverrideType | None
    only_if: Condition | None = None

    def __post_init__(self) -> None:
        if not USER_ID.fullmatch(self.user_id):
            raise ValueError(NOT_NAMEABLE)

    @property
    def targets(self) -> frozenset[str]:
        """What it sets: two changes conflict if they set the same."""
        return frozenset([f"users/{self.user_id}"])

    @property
    def included(self) -> bool | None:
        """Is its user included (True), excluded (False), or treated like all others?"""
        return None if self.kind is None else self.kind is OverrideType.INCLUDE

    def as_json(self) -> dict[str, dict[str, str]]:
        """What it sets under its JSON name, as it is answered."""
        return {"override": {"userId": self.user_id, "set": NAMES[self.kind]}}

    def under(self, condition: Condition | None) -> Self:
        """The same on this condition."""
        return replace(self, only_if=condition)

    def made(self, flag_id: UUID, by: str, at: datetime) -> Override | None:
        """The override that there is once it is in effect."""
        return None if self.kind is None else Override(flag_id, self.user_id, self.kind, PLANNED, by, at)


def with_changes(stored: Mapping[str, bool], changes: Sequence[OverrideChange]) -> Mapping[str, bool]:
    """Who is included (True) and excluded (False) once these changes, in order, are in effect."""
    if not changes:
        return stored
    changed = {**stored, **{change.user_id: change.included for change in changes}}
    return {user_id: included for user_id, included in changed.items() if included is not None}
