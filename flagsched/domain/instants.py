"""Instants: aware, in UTC, to the millisecond."""

from datetime import UTC, datetime
from functools import lru_cache


def to_milliseconds(at: datetime) -> datetime:
    """Give `at` in UTC with anything finer than a millisecond cut off; refuse a naive one with ValueError."""
    if at.tzinfo is None:
        raise ValueError(f"an instant needs a time zone: {at.isoformat()}")
    utc = at.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


@lru_cache(maxsize=1024)  # One answer tells the same instants many times.
def rfc3339(at: datetime) -> str:
    """Write `at` as RFC 3339 in UTC with `Z`, with three fraction digits only when they are not zero."""
    utc = to_milliseconds(at)
    text = utc.isoformat(timespec="milliseconds" if utc.microsecond else "seconds")
    return text.removesuffix("+00:00") + "Z"
