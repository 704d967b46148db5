"""The rules for evaluation: which callers, which web pages, and how long caches may keep a response.

Without Flask, so that the settings can import it.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

KEY = re.compile(r"[\x21-\x7e]{16,}")
HOST = re.compile(r"[a-z0-9.-]+|\[[0-9a-f:.]+\]")
DEFAULT_PORTS = {"http": 80, "https": 443}


class Access(StrEnum):
    """What a caller of OFREP and of `/api/config` must show."""

    PUBLIC = "public"
    KEY = "key"
    JWT = "jwt"


@dataclass(frozen=True, slots=True)
class EvaluationRules:
    """`keys` are the API keys; `origins` those of web pages, or `*`; `max_age_seconds` is for Cache-Control.

    Raises ValueError for an unknown access, and for keys or origins that no request could have.
    """

    access: Access = Access.PUBLIC
    keys: frozenset[str] = field(default=frozenset(), repr=False)
    origins: frozenset[str] = frozenset()
    max_age_seconds: int = 1

    def __post_init__(self) -> None:
        # A plain string is no member: `is` would match none, and evaluation would be public.
        object.__setattr__(self, "access", Access(self.access))
        if self.max_age_seconds not in {0, 1}:
            raise ValueError(f"an answer may be kept for 0 or 1 seconds, not {self.max_age_seconds}")
        refuse_weak_keys(self.keys)
        refuse_bad_origins(self.origins)
        if self.access is Access.KEY and not self.keys:
            raise ValueError("the access is by key, and there is none")


def refuse_weak_keys(keys: Collection[str]) -> None:
    """ValueError for keys that are easily guessed, or that no header can hold."""
    if not all(KEY.fullmatch(key) for key in keys):
        raise ValueError("must be keys of at least 16 visible ASCII characters, with commas and no spaces between them")


def refuse_bad_origins(origins: Collection[str]) -> None:
    """ValueError for what no browser would send as an Origin. Source: RFC 6454, section 6.2."""
    if bad := [origin for origin in origins if origin != "*" and not _is_origin(origin)]:
        raise ValueError(f"must be '*' or origins as browsers send them, like https://app.example, not {bad[0]!r}")


def _is_origin(text: str) -> bool:
    try:
        scheme, authority, *_ = urlsplit(text)
        port = urlsplit(text).port
    except ValueError:
        return False
    host = authority.removesuffix(f":{port}")
    sendable = port is None or port != DEFAULT_PORTS.get(scheme)
    return text == f"{scheme}://{authority}" and scheme in DEFAULT_PORTS and bool(HOST.fullmatch(host)) and sendable


DEFAULT_RULES = EvaluationRules()
