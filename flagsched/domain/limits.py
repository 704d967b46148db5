"""How far ahead, and how much, may be planned for one flag."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flagsched.domain.errors import (
    MUST_BE_FUTURE,
    InstantsRefused,
    QuotaExceeded,
)
from flagsched.domain.flags import Flag


@dataclass(frozen=True, slots=True)
class ScheduleLimits:
    """How far ahead, and how many schedules of one flag at once, may be planned."""

    horizon: timedelta = timedelta(days=366)
    pending: int = 1000

    def may_exceed_quota(self, flag: Flag, more: int) -> bool:
        """Can `more` be too many? Not if the flag never had so many: they are numbered. So nearly none are counted."""
        return flag.last_seq + more > self.pending

    def refuse_quota(self, flag: Flag, pending: int, asked: int) -> None:
        """Raise QuotaExceeded if `asked` more are too many for a flag that has `pending`."""
        if pending + asked > self.pending:
            raise QuotaExceeded(flag.name.key, pending, asked, self.pending)

    def refuse_instants(self, instants: Sequence[datetime], now: datetime, refusal: str | None) -> None:
        """Raise InstantsRefused, naming every instant that is not in the future of `now`, or too far in it.

        `refusal` is the message for a batch, None for a change alone.
        """
        reasons = {i: reason for i, instant in enumerate(instants) if (reason := self._reason(instant - now))}
        if reasons:
            raise InstantsRefused(reasons, refusal)

    def _reason(self, ahead: timedelta) -> str | None:
        if ahead <= timedelta(0):
            return MUST_BE_FUTURE
        return f"must be at most {self.horizon.days} days ahead" if ahead > self.horizon else None


DEFAULT_LIMITS = ScheduleLimits()
