"""How long a response may be cached, and whether the caller has it already."""

from hashlib import blake2b

from flask import Request

from flagsched.domain.snapshot import EffectiveSnapshot
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.web.schemas.headers import CODINGS

SNAPSHOT_AGE = "Flagsched-Snapshot-Age"
"""The seconds since the environment was last read; only while it can't be read."""


def cache_headers(
    refresher: SnapshotRefresher, effective: EffectiveSnapshot, max_age_seconds: int
) -> list[tuple[str, str]]:
    """Cache-Control with `max_age_seconds` at most, but never past the next change; the age of a stale snapshot."""
    seconds = max(0, int(min(max_age_seconds, refresher.seconds_left(effective))))
    headers = [("Cache-Control", f"private, max-age={seconds}")]
    age = refresher.stale_seconds(effective)
    return headers if age is None else [*headers, (SNAPSHOT_AGE, f"{age:.0f}")]


def etag_of(effective: EffectiveSnapshot, *inputs: str | None) -> str:
    """The ETag of a response that follows from the snapshot and these inputs: the user, and the flag's key if any."""
    parts = ["" if one is None else f"={one}" for one in (effective.snapshot.environment, *inputs)]
    digest = blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8)
    return f'"{effective.tag}.{digest.hexdigest()}"'


def matches(etag: str, request: Request) -> bool:
    """Does the request's If-None-Match name this ETag? Source: RFC 9110, section 13.1.2."""
    if "HTTP_IF_NONE_MATCH" not in request.environ:
        return False
    etags, tag = request.if_none_match, etag.strip('"')
    return etags.contains_weak(tag) or any(etags.contains_weak(f"{tag}-{coding}") for coding in CODINGS)
