"""How far ahead, and how much, may be planned for one flag."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from flagsched.domain.errors import MUST_BE_FUTURE, NOT_VALID, InstantsRefused, Path, QuotaExceeded
from flagsched.domain.flags import Flag, FlagName
from flagsched.domain.schedules import PlanItem


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

    def refuse_instants(
        self, items: Iterable[PlanItem], now: Callable[[FlagName], datetime], message: str = NOT_VALID
    ) -> None:
        """Raise InstantsRefused, naming every instant that is not in the future of its flag, or too far in it."""
        whens = ((item.path, item.change.scheduled_at - now(item.name)) for item in items)
        if reasons := {path: reason for path, ahead in whens if (reason := self.reason(ahead))}:
            raise InstantsRefused(reasons, message)

    def refuse_instant(self, instant: datetime, now: datetime, path: Path) -> None:
        """Raise InstantsRefused for an instant that is not in the future of `now`, or too far in it."""
        if reason := self.reason(instant - now):
            raise InstantsRefused({path: reason})

    def reason(self, ahead: timedelta) -> str | None:
        """Why nothing may be planned that far ahead, if so."""
        if ahead <= timedelta(0):
            return MUST_BE_FUTURE
        return f"must be at most {self.horizon.days} days ahead" if ahead > self.horizon else None


DEFAULT_LIMITS = ScheduleLimits()
