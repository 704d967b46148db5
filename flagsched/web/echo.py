"""What a caller sent is told back at most `MAX_ECHO` characters long, wherever the API, OFREP or the log quotes it."""

from collections.abc import Mapping
from typing import Any

MAX_ECHO = 200
MAX_NAMES = 20
"""Of one object's names; a request of ours has fewer."""
CUT = "…"


def cut(text: str) -> str:
    """The text, or the beginning of one that is longer."""
    return text if len(text) <= MAX_ECHO else text[: MAX_ECHO - len(CUT)] + CUT


def cut_details(details: Any) -> Any:
    """A tree of reasons with all its names and reasons cut; of too many names in one object only the first."""
    if isinstance(details, str):
        return cut(details)
    if isinstance(details, list):
        return [cut_details(one) for one in details]
    return _cut_names(details) if isinstance(details, Mapping) else details


def _cut_names(details: Mapping[Any, Any]) -> dict[str, Any]:
    unnamed = [name for name in details if not isinstance(name, str)]
    names = [name for name in details if isinstance(name, str)]
    told = {cut(str(name)): cut_details(details[name]) for name in [*unnamed, *names[:MAX_NAMES]]}
    return told if len(names) <= MAX_NAMES else told | {CUT: [f"and {len(names) - MAX_NAMES} more names"]}
