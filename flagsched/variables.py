"""Environment variables as they were meant, by one rule for all. For gunicorn.conf.py too: standard library only."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

PREFIX = "FLAGSCHED_"
QUOTES = ("'", '"')
LINE_BREAKS = "\r\n"
SECRETS = frozenset({"JWT_SECRET_KEY", "JWT_OLD_SECRET_KEY"})
HIGHEST_PORT = 65535
HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
MAX_PROCESSES = 10_000


def as_meant(name: str, text: str) -> str:
    """The value without blanks and line breaks around it; ValueError for one that stands in quotes.

    Of a secret only the line breaks at its end are dropped, as a file has them: other programs sign with it too, and
    blanks may be part of it for them, so these are refused.
    """
    value = text.rstrip(LINE_BREAKS) if name in SECRETS else text.strip()
    if value != value.strip():
        raise ValueError("begins or ends with a blank")
    if len(value) > 1 and value[0] == value[-1] and value.startswith(QUOTES):
        raise ValueError("stands in quotes: write the value without them")
    return value


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What gunicorn is told."""

    bind: str
    workers: int
    threads: int


def server_settings(environ: Mapping[str, str]) -> ServerSettings:
    """Read gunicorn's variables; ValueError, which names the variable."""
    host = _read(environ, "HOST", "0.0.0.0")  # noqa: S104 - a router stands before it
    if not HOST.fullmatch(host):
        raise ValueError(
            'Environment variable "HOST" invalid: must be a name or an address; IPv6 in brackets, like [::1]'
        )
    return ServerSettings(
        bind=f"{host}:{_number(environ, 'PORT', 8000, HIGHEST_PORT)}",
        workers=_number(environ, "WEB_CONCURRENCY", 2, MAX_PROCESSES),
        threads=_number(environ, "FLAGSCHED_THREADS", 8, MAX_PROCESSES),
    )


def unknown_settings(environ: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """The variables that begin like ours and are none of ours, each with the known name that it resembles, or ''."""
    unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in known)
    return {name: next(iter(get_close_matches(name, known, n=1, cutoff=0.8)), "") for name in unknown}


def _number(environ: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = _read(environ, name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise ValueError(f'Environment variable "{name}" invalid: not a whole number from 1 to {most}')
    return int(text)


def _read(environ: Mapping[str, str], name: str, default: str) -> str:
    try:
        return as_meant(name, environ.get(name, default))
    except ValueError as error:
        raise ValueError(f'Environment variable "{name}" invalid: {error}') from error
