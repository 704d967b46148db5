"""Requests that may come more than once, and have effect once."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

KEEP_FOR = timedelta(hours=24)
"""For how long an answer is kept."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's name for a request, and a hash of all that the request says."""

    principal: str
    key: str
    request_hash: str

    @classmethod
    def of(cls, principal: str, key: str, *said: bytes) -> Self:
        """The key of a request that says this: method, path, query and body."""
        digest = hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in said))
        return cls(principal, key, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """What was answered: it is given again as it was."""

    status: int
    headers: Mapping[str, str]
    body: str
