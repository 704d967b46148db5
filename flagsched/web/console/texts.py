"""Errors as a person reads them."""

from collections.abc import Iterator, Mapping
from typing import Any

from flagsched.domain.errors import (
    AlreadyEnded,
    ChangedSince,
    FlagChanged,
    FlagMissing,
    FlagschedError,
    Forbidden,
    Frozen,
    HoldMissing,
    HoldOver,
    PlanChanged,
    PlanEnded,
    PlanMissing,
    RateLimited,
    ScheduleMissing,
    Unavailable,
)

ADVICE: Mapping[type[FlagschedError], str] = {
    FlagMissing: "It may be archived, or in another environment: look it up in the history.",
    ScheduleMissing: "Go back to its flag, and look at what is planned now.",
    PlanMissing: "Go back to the plans.",
    HoldMissing: "Go back to its flag, and look at what holds it now.",
    HoldOver: "It has ended already: go back, and look at what is planned now.",
    FlagChanged: "Somebody has changed it while you looked: load its page, and decide again.",
    PlanChanged: "Somebody has changed it while you looked: load its page, and decide again.",
    PlanEnded: "Nothing of it is ahead that could be changed.",
    AlreadyEnded: "It can't be changed any more. To set the flag otherwise, set it by hand, or plan something.",
    ChangedSince: "Somebody has changed it since: look at what it is now before you set it back all the same.",
    Frozen: "Say why you change it in spite of the freeze, or wait for its end.",
    Forbidden: "Sign in as somebody who may.",
    RateLimited: "Wait a little, and send it again.",
    Unavailable: "Nothing was stored. Wait a little, and send it again.",
}


def advice(error: FlagschedError) -> str:
    """What to do about an error."""
    return next((ADVICE[kind] for kind in type(error).__mro__ if kind in ADVICE), "")


def reasons(details: Any) -> list[str]:
    """The reasons in the details of an error, each with where it applies."""
    return [f"{where}: {reason}" if where else reason for where, reason in _leaves(details)]


def _leaves(details: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    if isinstance(details, Mapping):
        for name, below in details.items():
            yield from _leaves(below, path if name == "_schema" else (*path, str(name)))
    elif isinstance(details, list):
        for one in details:
            yield ".".join(path), str(one)
    else:
        yield ".".join(path), str(details)
