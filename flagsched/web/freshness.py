"""How long an answer may be kept, and whether the caller has it already."""

from hashlib import blake2b

from flask import Request

from flagsched.domain.snapshot import Moment
from flagsched.usecases.looking import Looking

SNAPSHOT_AGE = "Flagsched-Snapshot-Age"
"""Seconds since the database was last heard of; only while it is away."""


def may_be_kept(looking: Looking, told: Moment, longest_seconds: int) -> list[tuple[str, str]]:
    """Headers that say for how long: as many seconds at most, but never past the next change."""
    seconds = max(0, int(min(longest_seconds, looking.seconds_left(told))))
    kept = [("Cache-Control", f"private, max-age={seconds}")]
    return [*kept, (SNAPSHOT_AGE, f"{looking.age_seconds:.0f}")] if looking.stale else kept


def etag_of(told: Moment, *caller: str | None) -> str:
    """What names an answer to a caller who said this of himself."""
    said = "\0".join(["" if one is None else f"={one}" for one in (told.snapshot.environment, *caller)])
    return f'"{told.tag}.{blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()}"'


def is_known(etag: str, request: Request) -> bool:
    """Does the caller have this answer? Source: RFC 9110, section 13.1.2."""
    return "If-None-Match" in request.headers and request.if_none_match.contains_weak(etag.strip('"'))
