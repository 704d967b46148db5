"""How every writer begins: under the locks of its flags, by the clock, with what is in effect recorded."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import wraps
from typing import ParamSpec, TypeVar
from uuid import UUID

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
    flags, clock = lock_existing(work, names)
    for name in names:
        if name not in flags:
            raise FlagMissing(name.environment, name.key)
    return [flags[name] for name in names], clock


def lock_existing(
    work: Writing, names: Collection[FlagName], ids: Collection[UUID] = ()
) -> tuple[dict[FlagName, Flag], datetime]:
    """As `lock_current`, for those of the flags of these names or ids that exist, by name."""
    locked = work.flags.lock(names, ids)
    clock = work.now()
    return {flag.name: flag for flag in _recorded(work, locked.values(), clock)}, clock


def lock_environment(work: Writing, environment: str) -> tuple[list[Flag], datetime]:
    """As `lock_current`, for all flags of an environment; none is created in it meanwhile."""
    locked = work.flags.lock_live(environment)
    clock = work.now()
    return _recorded(work, locked, clock), clock


def _recorded(work: Writing, locked: Collection[Flag], clock: datetime) -> list[Flag]:
    """These flags, with what is in effect on them recorded."""
    due = [flag for flag in locked if flag.is_due(clock)]
    recorded = {flag.id: flag for flag in record(work, due, clock)} if due else {}
    return [recorded.get(flag.id, flag) for flag in locked]


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
