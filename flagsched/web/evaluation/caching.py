"""How long an answer may be kept, and whether the caller has it already."""

from hashlib import blake2b

from flask import Request

from flagsched.domain.snapshot import EffectiveSnapshot
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.web.schemas.headers import CODINGS

SNAPSHOT_AGE = "Flagsched-Snapshot-Age"
"""How many seconds ago the environment could be read last; only while it can't be."""


def may_be_kept(refresher: SnapshotRefresher, told: EffectiveSnapshot, longest_seconds: int) -> list[tuple[str, str]]:
    """Headers that say for how long: as many seconds at most, but never past the next change."""
    seconds = max(0, int(min(longest_seconds, refresher.seconds_left(told))))
    kept = [("Cache-Control", f"private, max-age={seconds}")]
    age = refresher.stale_seconds(told)
    return kept if age is None else [*kept, (SNAPSHOT_AGE, f"{age:.0f}")]


def etag_of(told: EffectiveSnapshot, *caller: str | None) -> str:
    """What names an answer to a caller who said this of himself."""
    said = "\0".join(["" if one is None else f"={one}" for one in (told.snapshot.environment, *caller)])
    return f'"{told.tag}.{blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()}"'


def is_known(etag: str, request: Request) -> bool:
    """Does the caller have this answer? Source: RFC 9110, section 13.1.2."""
    if "HTTP_IF_NONE_MATCH" not in request.environ:
        return False
    known, tag = request.if_none_match, etag.strip('"')
    return known.contains_weak(tag) or any(known.contains_weak(f"{tag}-{coding}") for coding in CODINGS)
