"""How every writer begins: under the locks of its flags, by the clock, with what is in effect recorded."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import wraps
from typing import ParamSpec, TypeVar

from flagsched.domain.errors import FlagMissing, Overtaken
from flagsched.domain.flags import Flag, FlagName
from flagsched.ports.store import Writing
from flagsched.usecases.materialise import record

MAX_TRIES = 5

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def lock_current(work: Writing, names: Sequence[FlagName]) -> tuple[list[Flag], datetime]:
    """Lock flags, then read the clock, then record what is in effect on all of them.

    Returns the flags as they are now, in the order of `names`, and the clock. Raises FlagMissing, FlagBusy.
    """
    locked = work.flags.lock(names)
    for name in names:
        if name not in locked:
            raise FlagMissing(name.environment, name.key)
    clock = work.now()
    due = [flag for flag in locked.values() if flag.is_due(clock)]
    recorded = {flag.name: flag for flag in (record(work, due, clock) if due else [])}
    return [recorded.get(name, locked[name]) for name in names], clock


def retry_when_overtaken(use_case: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Have a use case that was Overtaken by a schedule begin again, from the lock and the clock on."""

    @wraps(use_case)
    def retried(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        for _ in range(MAX_TRIES - 1):
            try:
                return use_case(*arguments, **named)
            except Overtaken:
                continue
        return use_case(*arguments, **named)

    return retried
