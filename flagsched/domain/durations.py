"""Lengths of time as ISO 8601 has them: days, which are local, and hours, minutes and seconds, which are exact."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from flagsched.domain.local_times import Fold, LocalTime

DURATION = re.compile(
    r"(?P<sign>-?)P(?:(?P<weeks>[0-9]{1,6})W)?(?:(?P<days>[0-9]{1,6})D)?"
    r"(?:T(?:(?P<hours>[0-9]{1,6})H)?(?:(?P<minutes>[0-9]{1,8})M)?(?:(?P<seconds>[0-9]{1,10})S)?)?"
)
MAX_DAYS = 3660
NOT_A_DURATION = "must be an ISO 8601 duration of weeks, days, hours, minutes or seconds, like 'P1D' or 'PT24H'"


@dataclass(frozen=True, slots=True)
class Duration:
    """So many days, and so many seconds after them; both negative for one that goes back."""

    days: int = 0
    seconds: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an ISO 8601 duration of whole numbers; ValueError says why it is none."""
        match = DURATION.fullmatch(text)
        if match is None or text[-1] in "PT":
            raise ValueError(_fault(text))
        weeks, days, hours, minutes, seconds = (
            int(match[part] or 0) for part in ("weeks", "days", "hours", "minutes", "seconds")
        )
        sign = -1 if match["sign"] else 1
        length = cls(sign * (7 * weeks + days), sign * (3600 * hours + 60 * minutes + seconds))
        if abs(length.exact) > timedelta(days=MAX_DAYS):
            raise ValueError(f"must be at most {MAX_DAYS} days")
        return length

    @property
    def exact(self) -> timedelta:
        """The length if each day has 24 hours."""
        return timedelta(days=self.days, seconds=self.seconds)

    def after(self, instant: datetime, zone: ZoneInfo | None, fold: Fold | None = None) -> datetime:
        """The instant that is so much later: first the days, by the clocks of `zone` if there is one, then the rest.

        Raises ValueError if the days lead to a local time that does not exist, or to one that exists twice and `fold`
        does not say which.
        """
        try:
            if zone is None or not self.days:
                return instant + self.exact
            wall = instant.astimezone(zone).replace(tzinfo=None, fold=0) + timedelta(days=self.days)
            return LocalTime(wall, zone.key, fold).instant() + timedelta(seconds=self.seconds)
        except OverflowError as error:
            raise ValueError("leads out of the calendar") from error

    def __str__(self) -> str:
        days = f"{abs(self.days)}D" if self.days else ""
        seconds = f"T{abs(self.seconds)}S" if self.seconds or not self.days else ""
        return f"{'-' if self.exact < timedelta(0) else ''}P{days}{seconds}"


def _fault(text: str) -> str:
    if re.fullmatch(r"-?P(?:[0-9]+Y)(?:.*)|-?P(?:[0-9]+M)(?:.*)", text):
        return "must have no years and no months, which have no fixed length: use days, like 'P30D'"
    if re.fullmatch(r"-?P[0-9DWTHMS]*[.,][0-9DWTHMS.,]*", text):
        return "must have whole numbers, like 'PT90M'"
    return NOT_A_DURATION
