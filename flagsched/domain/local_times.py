"""Local times: what the clocks of a time zone show, and the instants at which they show it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from importlib import resources
from typing import Self
from zoneinfo import ZoneInfo

LOCAL_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?")
NOT_A_LOCAL_TIME = "must be a local time without an offset, like '2027-01-31T09:00'"
PACKAGE = "tzdata"
FOLD_CHOOSES = ": 'fold' chooses, by 'earlier' or 'later'"


class NoSuchLocalTime(ValueError):
    """The clocks go forward over it."""


class AmbiguousLocalTime(ValueError):
    """The clocks go back over it, so that it exists twice, and nothing says which is meant; `fact` names both."""

    def __init__(self, fact: str, hint: str = "") -> None:
        super().__init__(fact + hint)
        self.fact = fact


class Fold(StrEnum):
    """Which of two instants is meant, where the clocks show a time twice."""

    EARLIER = "earlier"
    LATER = "later"


@lru_cache
def zone_names() -> frozenset[str]:
    """All that `zone_named` knows."""
    text = resources.files(PACKAGE).joinpath("zones").read_text(encoding="utf-8")
    return frozenset(text.split())


@lru_cache(maxsize=1024)
def zone_named(name: str) -> ZoneInfo:
    """The time zone of this IANA name, of the package `tzdata`: a host's own may be older. ValueError if unknown."""
    if name not in zone_names():
        raise ValueError(_unknown(name))
    with resources.files(PACKAGE).joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def _unknown(name: str) -> str:
    same = [one for one in zone_names() if one.lower() == name.lower()]
    meant = f": it is written {same[0]!r}" if same else ", like 'Europe/Berlin'"
    return f"must be the IANA name of a time zone{meant}"


@dataclass(frozen=True, slots=True)
class LocalTime:
    """A time of day, naive and to the second, in the zone of a name; `fold` chooses where it exists twice."""

    wall: datetime
    zone: str
    fold: Fold | None = None

    @classmethod
    def parse(cls, text: object, zone: str, fold: Fold | None = None) -> Self:
        """Read `2027-01-31T09:00` or `2027-01-31T09:00:30`; ValueError says why it is none."""
        if not isinstance(text, str) or LOCAL_TIME.fullmatch(text) is None:
            raise ValueError(NOT_A_LOCAL_TIME)
        try:
            return cls(datetime.fromisoformat(text), zone, fold)
        except ValueError as error:
            raise ValueError("must be a date of the calendar") from error

    @classmethod
    def of(cls, instant: datetime, zone: str) -> Self:
        """What the clocks show at an instant; ValueError if that is in no year that can be written."""
        try:
            local = instant.astimezone(zone_named(zone))
        except OverflowError as error:
            raise ValueError(f"must be in the years 0001 to 9999 also in {zone}") from error
        wall = local.replace(tzinfo=None, fold=0)
        if len(_instants(wall, zone_named(zone))) < 2:
            return cls(wall, zone)
        return cls(wall, zone, Fold.LATER if local.fold else Fold.EARLIER)

    def instant(self) -> datetime:
        """The instant, in UTC.

        Raises NoSuchLocalTime, AmbiguousLocalTime if there are two and `fold` does not say which, and ValueError if it
        is in no year that can be written.
        """
        try:
            found = _instants(self.wall, zone_named(self.zone))
        except OverflowError as error:
            raise ValueError("must be in the years 0001 to 9999 also in UTC") from error
        if not found:
            raise NoSuchLocalTime(self._no_such_time())
        if len(found) == 1:
            return found[0]
        if self.fold is None:
            raise AmbiguousLocalTime(self._exists_twice(found), FOLD_CHOOSES)
        return found[0] if self.fold is Fold.EARLIER else found[1]

    def _no_such_time(self) -> str:
        zone = zone_named(self.zone)
        # By the offsets of before and after the gap. Source: PEP 495.
        after, before = (self.wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (1, 0))
        gap = _transition(after.replace(microsecond=0), before.replace(microsecond=0), zone)
        ends = [at.astimezone(zone).replace(tzinfo=None) for at in (gap - timedelta(seconds=1), gap)]
        start, end = (ends[0] + timedelta(seconds=1)).isoformat(), ends[1].isoformat()
        return (
            f"does not exist in {self.zone}: the clocks go from {start} to {end}; "
            f"take {_told(after, zone)} or {_told(before, zone)}"
        )

    def _exists_twice(self, found: Iterable[datetime]) -> str:
        zone = zone_named(self.zone)
        earlier, later = (_told(one, zone) for one in found)
        return f"exists twice in {self.zone}, as {earlier} and {later}"


def text_of(local: LocalTime | None) -> str | None:
    """What the clocks show, without zone and offset, as it is stored and answered."""
    if local is None:
        return None
    return local.wall.isoformat(timespec="milliseconds" if local.wall.microsecond else "seconds")


def zone_of(local: LocalTime | None) -> str | None:
    """The name of its zone."""
    return local.zone if local else None


def _instants(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """The instants at which the clocks of a zone show `wall`: none, one, or two in order. Source: PEP 495."""
    candidates = {wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(one for one in candidates if one.astimezone(zone).replace(tzinfo=None, fold=0) == wall)


def _transition(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """When the offset changes between two instants that are whole seconds, to the second."""
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def _told(instant: datetime, zone: ZoneInfo) -> str:
    return instant.astimezone(zone).isoformat()
