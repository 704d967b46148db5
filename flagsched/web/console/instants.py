"""Instants as a person reads and writes them: in the zone of a cookie, with UTC beside it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from flask import Response, request
from markupsafe import Markup

from flagsched.domain.instants import rfc3339
from flagsched.domain.local_times import zone_named

ZONE = "flagsched_zone"
MAX_DAYS = 732
UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True)
class PersonalTime:
    """How instants are shown at `now` to a person in `zone`."""

    zone: ZoneInfo
    now: datetime

    @property
    def zone_name(self) -> str:
        """As IANA writes it."""
        return self.zone.key or "UTC"

    def day(self, at: datetime) -> str:
        """As `Thu 26 Nov`, with the year if it is another than now."""
        local = at.astimezone(self.zone)
        year = "" if local.year == self.now.astimezone(self.zone).year else f" {local.year}"
        return f"{local:%a} {local.day} {local:%b}{year}"

    def clock(self, at: datetime) -> str:
        """As `14:00`, with seconds if there are any."""
        return _clock(at.astimezone(self.zone))

    def utc(self, at: datetime) -> str:
        """As `13:00 UTC`, with the day if it is another there."""
        there, here = at.astimezone(UTC), at.astimezone(self.zone)
        day = "" if there.date() == here.date() else f"{there:%a} {there.day} {there:%b} "
        return f"{day}{_clock(there)} UTC"

    def away(self, at: datetime) -> str:
        """As `in 3 h 20 min`, `5 min ago` or `now`."""
        length = at - self.now
        text = length_text(abs(length))
        if not text:
            return "now"
        return f"in {text}" if length > timedelta() else f"{text} ago"

    def plain(self, at: datetime) -> str:
        """As a sentence has it: day and time of day."""
        return f"{self.day(at)}, {self.clock(at)}"

    def element(self, at: datetime | None, missing: str = "open") -> Markup:
        """The instant as an element that has it exactly, with UTC beside it where that differs."""
        if at is None:
            return Markup("<span>{}</span>").format(missing)
        utc = "" if self.is_utc else Markup(' <small class="utc">({})</small>').format(self.utc(at))
        return Markup('<time datetime="{}" title="{}">{}</time>{}').format(
            rfc3339(at), rfc3339(at), self.plain(at), utc
        )

    def relative(self, at: datetime) -> Markup:
        """How far it is away, kept right by a script."""
        return Markup('<span class="away" data-at="{}">{}</span>').format(rfc3339(at), self.away(at))

    def for_input(self, at: datetime) -> str:
        """As an `<input type="datetime-local">` holds it."""
        local = at.astimezone(self.zone).replace(tzinfo=None, microsecond=0)
        return local.isoformat(timespec="seconds" if local.second else "minutes")

    def clock_changes(self, first: datetime, last: datetime) -> list[str]:
        """When the clocks are changed between two instants, at most two years apart, as sentences."""
        found = []
        for day in range(min((last - first).days + 1, MAX_DAYS)):
            at = first + timedelta(days=day)
            following = min(at + timedelta(days=1), last)
            before, after = (one.astimezone(self.zone).utcoffset() or timedelta() for one in (at, following))
            if before != after:
                way = "forward" if after > before else "back"
                found.append(
                    f"Between {self.plain(at)} and {self.plain(following)} the clocks of {self.zone_name} go {way} "
                    f"by {length_text(abs(after - before))}."
                )
        return found

    @property
    def is_utc(self) -> bool:
        """Is its clock that of UTC?"""
        return self.zone_name in {"UTC", "Etc/UTC"}


def personal_time(now: datetime) -> PersonalTime:
    """In the zone of the browser's cookie; in UTC without one that is known."""
    try:
        zone = zone_named(request.cookies.get(ZONE, "UTC"))
    except ValueError:
        zone = zone_named("UTC")
    return PersonalTime(zone, now)


def keep_zone(response: Response, name: str) -> None:
    """Show and read times in this zone from now on; a script of the page sets the same cookie at the first visit."""
    a_year = timedelta(days=365)
    response.set_cookie(ZONE, name, max_age=a_year, path=None, secure=request.is_secure, samesite="Strict")


def length_text(length: timedelta) -> str:
    """A length in its two largest units; empty below a second."""
    left, parts = int(length.total_seconds()), []
    for seconds, unit in UNITS:
        number, left = divmod(left, seconds)
        if number:
            parts.append(f"{number} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def _clock(local: datetime) -> str:
    return f"{local:%H:%M:%S}" if local.second or local.microsecond else f"{local:%H:%M}"
