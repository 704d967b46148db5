"""How long an answer may be kept, and whether the caller has it already."""

from dataclasses import dataclass
from hashlib import blake2b

from flask import Request, Response

from flagsched.domain.snapshot import Moment
from flagsched.usecases.looking import Looking

SNAPSHOT_AGE = "Flagsched-Snapshot-Age"
"""Seconds since the database was last heard of; only while it is away."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """What is said of an answer that rests on a moment."""

    etag: str
    cache_control: str
    age: str | None

    def put(self, answer: Response) -> Response:
        """Say it in the headers."""
        answer.headers["ETag"] = self.etag
        answer.headers["Cache-Control"] = self.cache_control
        if self.age is not None:
            answer.headers[SNAPSHOT_AGE] = self.age
        return answer

    def is_known(self, request: Request) -> bool:
        """Does the caller have this answer? Source: RFC 9110, section 13.1.2."""
        return "If-None-Match" in request.headers and request.if_none_match.contains_weak(self.etag.strip('"'))


def freshness(looking: Looking, told: Moment, longest_seconds: int, *caller: str | None) -> Freshness:
    """Of an answer to a caller who said this of himself, to be kept for so long, but never past the next change."""
    said = "\0".join(["" if one is None else f"={one}" for one in (told.snapshot.environment, *caller)])
    digest = blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    seconds = max(0, int(min(longest_seconds, looking.seconds_left(told))))
    age = f"{looking.age_seconds:.0f}" if looking.stale else None
    return Freshness(f'"{told.tag}.{digest}"', f"private, max-age={seconds}", age)
