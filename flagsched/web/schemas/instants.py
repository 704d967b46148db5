"""RFC 3339 date-times, and the first fault of a text that is none."""

import re
from calendar import monthrange
from datetime import datetime
from typing import Any

from flagsched.domain.instants import to_milliseconds

# Small letters too: RFC 3339, section 5.6. A leap second has no instant of its own in PostgreSQL or Python.
INSTANT = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
    r"(?:\.[0-9]+)?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
PARTS = re.compile(
    r"(?P<date>[^Tt ]*)(?P<separator>[Tt ]?)(?P<time>[0-9:]*)(?P<fraction>(?:[.,][0-9]*)?)(?P<offset>.*)", re.DOTALL
)
NOT_AN_INSTANT = "must be an RFC 3339 date-time with an offset, like '2027-01-31T09:00:00+09:00'"
JSON_TYPES = {bool: "a boolean", int: "a number", float: "a number", list: "an array", dict: "an object"}
NO_TIME = "must have a time of day and an offset after the date, like '2027-01-31T09:00:00+09:00'"
OFFSET_RANGE = "must have an offset from -23:59 to +23:59, with minutes from 00 to 59"

# For each part of a text, in order: the fault that belongs to the first pattern that matches the part, or None.
FAULTS: dict[str, list[tuple[str, str | None]]] = {
    "date": [
        (r"", NOT_AN_INSTANT),
        (r"[0-9]{4}-[0-9]{2}-[0-9]{2}", None),
        (r"[0-9]{8}", "must have hyphens in its date, like '2027-01-31'"),
        (r"[0-9]{4}-?[Ww][0-9]{2}(?:-?[0-9])?", "must name a month and a day, not a week"),
        (r"[0-9]{4}-?[0-9]{3}", "must name a month and a day, not a day of the year"),
        (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}", "must have two digits for month and day, like '2027-01-31'"),
        (r"[+-]?[0-9]+-[0-9]{1,2}-[0-9]{1,2}", "must have a year of four digits"),
        (r"[+-]?[0-9]{9,}(?:[.,][0-9]*)?", "must be a date-time, like '2027-01-31T09:00:00+09:00', not a number"),
        (r"[0-9]{1,4}[/.][0-9]{1,2}[/.][0-9]{1,4}", "must have its date as year, month and day, like '2027-01-31'"),
        (r".*", NOT_AN_INSTANT),
    ],
    "separator": [(r"", NO_TIME), (r" ", "must have a 'T' between date and time, not a blank")],
    "time": [
        (r"", NO_TIME),
        (r"24(?::[0-9]{2}){1,2}", "must not have the hour 24: midnight is 00:00:00 of the next day"),
        (r"[0-9]{2}", "must have minutes and seconds, like '09:00:00'"),
        (r"[0-9]{1,2}:[0-9]{1,2}", "must have seconds, like '09:00:00'"),
        (r"[0-9]{4}|[0-9]{6}", "must have colons in its time, like '09:00:00'"),
        (r"(?:2[4-9]|[3-9][0-9]):[0-9]{2}:[0-9]{2}", "must have an hour from 00 to 23"),
        (r"[0-9]{2}:[6-9][0-9]:[0-9]{2}", "must have a minute from 00 to 59"),
        (r"[0-9]{2}:[0-9]{2}:60", "must have a second from 00 to 59: leap seconds (60) are not accepted"),
        (r"[0-9]{2}:[0-9]{2}:[6-9][0-9]", "must have a second from 00 to 59"),
        (r"[0-9]{2}:[0-9]{2}:[0-9]{2}", None),
        (r"[0-9]{1,2}(?::[0-9]{1,2}){2}", "must have two digits each for hour, minute and second, like '09:00:00'"),
        (r".*", NOT_AN_INSTANT),
    ],
    "fraction": [
        (r",.*", "must have a point before the fraction of a second, not a comma"),
        (r"\.", "must have digits after the point"),
    ],
    "offset": [
        (r"", "must have an offset at its end: 'Z', or one like '+09:00'"),
        (r" +[0-9]{2}:?[0-9]{2}", "has a blank where '+' or '-' should be: in a query, '+' is written %2B"),
        (r" +(?:[+-].*|[Zz])", "must have no blank before its offset"),
        (r"[+-][0-9]{4}", "must have a colon in its offset, like '+09:00'"),
        (r"[+-][0-9]{1,2}", "must have hours and minutes in its offset, like '+09:00'"),
        (r"[+-](?:2[4-9]|[3-9][0-9]):[0-9]{2}|[+-][0-9]{2}:[6-9][0-9]", OFFSET_RANGE),
        (r"[+-][0-9]{1,2}:[0-9]{1,2}", "must have two digits each for hours and minutes of its offset"),
        (r"[+-][0-9]{2}:[0-9]{2}:.*", "must have an offset of hours and minutes alone, like '+09:00'"),
        (r".*", "must end with an offset, 'Z' or one like '+09:00', and nothing else"),
    ],
}
COMPILED = {part: [(re.compile(p, re.DOTALL), fault) for p, fault in faults] for part, faults in FAULTS.items()}


def read_instant(text: str) -> datetime:
    """Read an RFC 3339 date-time with an offset, in UTC to the millisecond; ValueError says why it is none."""
    match = INSTANT.fullmatch(text)
    if match is None:
        raise ValueError(_fault(text))
    try:
        return to_milliseconds(datetime.fromisoformat(text.upper()))
    except (ValueError, OverflowError) as error:
        raise ValueError(_not_in_the_calendar(int(match["year"]), int(match["month"]), int(match["day"]))) from error


def read_json_instant(value: Any) -> datetime:
    """`read_instant` of a JSON value; ValueError also for one of another type."""
    if not isinstance(value, str):
        kind = JSON_TYPES.get(type(value), "null")
        raise ValueError(f"must be a string like '2027-01-31T09:00:00+09:00', not {kind}")  # noqa: TRY004 - of the caller's value
    return read_instant(value)


def _fault(text: str) -> str:
    if not text:
        return f"is empty: it {NOT_AN_INSTANT}"
    if text != text.strip():
        return "must have no blanks or line breaks around it"
    if not text.isascii():
        return f"{NOT_AN_INSTANT}, in ASCII characters"
    parts = PARTS.fullmatch(text)
    faults = (_fault_of(part, parts[part]) for part in COMPILED) if parts else ()
    return next(filter(None, faults), NOT_AN_INSTANT)


def _fault_of(part: str, text: str) -> str | None:
    return next((fault for pattern, fault in COMPILED[part] if pattern.fullmatch(text)), None)


def _not_in_the_calendar(year: int, month: int, day: int) -> str:
    if year < 1:
        return "must have a year from 0001 on"
    if not 1 <= month <= 12:
        return "must have a month from 01 to 12"
    days = monthrange(year, month)[1]
    if not 1 <= day <= days:
        return f"is not a date: {year:04}-{month:02} has the days 01 to {days}"
    return "must be in the years 0001 to 9999 also in UTC"
