"""Lengths of time as ISO 8601 has them: days, which are local, and hours, minutes and seconds, which are exact."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from flagsched.domain.local_times import AmbiguousLocalTime, Fold, LocalTime, NoSuchLocalTime

DURATION = re.compile(
    r"(?P<sign>-?)P(?:(?P<weeks>[0-9]{1,10})W)?(?:(?P<days>[0-9]{1,10})D)?"
    r"(?:T(?:(?P<hours>[0-9]{1,10})H)?(?:(?P<minutes>[0-9]{1,10})M)?(?:(?P<seconds>[0-9]{1,10})S)?)?"
)
MAX_DAYS = 3660
DAY_SECONDS = 86_400
NOT_A_DURATION = "must be an ISO 8601 duration of weeks, days, hours, minutes or seconds, like 'P1D' or 'PT24H'"


@dataclass(frozen=True, slots=True)
class Duration:
    """So many days, and so many seconds after them; both negative for one that goes back."""

    days: int = 0
    seconds: int = 0

    def __post_init__(self) -> None:
        if self.days * self.seconds < 0:
            raise ValueError("days and seconds go in opposite directions")
        if abs(self.days) * DAY_SECONDS + abs(self.seconds) > MAX_DAYS * DAY_SECONDS:
            raise ValueError(f"must be at most {MAX_DAYS} days")

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
        return cls(sign * (7 * weeks + days), sign * (3600 * hours + 60 * minutes + seconds))

    @property
    def exact(self) -> timedelta:
        """The length if each day has 24 hours."""
        return timedelta(days=self.days, seconds=self.seconds)

    def after(self, instant: datetime, zone: ZoneInfo | None, fold: Fold | None = None) -> datetime:
        """The instant that is so much later: first the days, by the clocks of `zone` if there is one, then the rest.

        Raises NoSuchLocalTime or AmbiguousLocalTime if the days lead to a local time that does not exist, or to one
        that exists twice and `fold` does not say which; ValueError if this leads out of the calendar.
        """
        try:
            if zone is None or not self.days:
                return instant + self.exact
            wall = instant.astimezone(zone).replace(tzinfo=None, fold=0) + timedelta(days=self.days)
            return _reached(LocalTime(wall, zone.key, fold)) + timedelta(seconds=self.seconds)
        except OverflowError as error:
            raise ValueError("leads out of the calendar") from error

    def __str__(self) -> str:
        """ISO 8601, as short as it gets without weeks: `-P1DT12H`."""
        minutes, seconds = divmod(abs(self.seconds), 60)
        hours, minutes = divmod(minutes, 60)
        time = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if n)
        days = f"{abs(self.days)}D" if self.days else ""
        sign = "-" if self.exact < timedelta(0) else ""
        return f"{sign}P{days}{'T' if time else ''}{time}" if days or time else "PT0S"


def _reached(local: LocalTime) -> datetime:
    try:
        return local.instant()
    except NoSuchLocalTime as error:
        raise NoSuchLocalTime(f"leads to {local.wall.isoformat()}, which {error}") from error
    except AmbiguousLocalTime as error:
        raise AmbiguousLocalTime(f"leads to {local.wall.isoformat()}, which {error.fact}") from error


def _fault(text: str) -> str:
    # One pattern for both would take quadratic time.
    if re.fullmatch(r"-?P[0-9DWTHMS]+", text) and re.search(r"[0-9]{11}", text):
        return "must have no number of more than 10 digits"
    if re.fullmatch(r"-?P(?:[0-9]+Y)(?:.*)|-?P(?:[0-9]+M)(?:.*)", text):
        return "must have no years and no months, which have no fixed length: use days, like 'P30D'"
    if re.fullmatch(r"-?P[0-9DWTHMS]*[.,][0-9DWTHMS.,]*", text):
        return "must have whole numbers, like 'PT90M'"
    return NOT_A_DURATION
