"""Overrides: users for whom a flag that is on is on, or off, whatever its percentage."""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

USER_ID = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,256}")
MAX_REASON = 1000
MOST = 10_000
"""Of one flag: every process keeps them in memory."""


class OverrideType(StrEnum):
    """What an override does with its user."""

    INCLUDE = "include"
    EXCLUDE = "exclude"


@dataclass(frozen=True, slots=True)
class NewOverride:
    """An override that is asked for."""

    user_id: str
    kind: OverrideType
    reason: str = ""

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

    def told(self) -> dict[str, Any]:
        """What an entry of the history tells of it."""
        return {"userId": self.user_id, "override": self.kind.value, "reason": self.reason}
