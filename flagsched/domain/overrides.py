"""Overrides: users for whom a flag that is on is on, or off, whatever its percentage."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from flagsched.domain.errors import OverrideMissing

# A path must be able to name each: routes take no segment that begins with a slash, and clients resolve `.` and `..`.
USER_ID = re.compile(r"(?!/|\.{1,2}$)[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,256}")
MAX_REASON = 1000
MAX_OVERRIDES = 10_000
"""Of one flag: every process keeps them in memory."""


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
            raise ValueError("the user's id is not one that an override can name")

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
