"""Limits for quoting what a caller sent, in errors of the API and of OFREP, and in the log."""

from collections.abc import Mapping
from typing import Any

MAX_ECHO = 200
MAX_NAMES = 20
"""The names of one object that an error quotes; no valid request has so many."""
CUT = "…"


def cut(text: str) -> str:
    """The text, cut after `MAX_ECHO` characters."""
    return text if len(text) <= MAX_ECHO else text[: MAX_ECHO - len(CUT)] + CUT


def cut_details(details: Any) -> Any:
    """A tree of reasons with each name and reason cut, and the first `MAX_NAMES` names of each object."""
    if isinstance(details, str):
        return cut(details)
    if isinstance(details, list):
        return [cut_details(one) for one in details]
    return _cut_names(details) if isinstance(details, Mapping) else details


def _cut_names(details: Mapping[Any, Any]) -> dict[str, Any]:
    unnamed = [name for name in details if not isinstance(name, str)]
    names = [name for name in details if isinstance(name, str)]
    quoted = {cut(str(name)): cut_details(details[name]) for name in [*unnamed, *names[:MAX_NAMES]]}
    return quoted if len(names) <= MAX_NAMES else quoted | {CUT: [f"and {len(names) - MAX_NAMES} more names"]}
