"""What an application asks: is a flag on?"""

from dataclasses import dataclass

from flagsched.domain.evaluation import value_for_everyone
from flagsched.domain.flags import FlagName
from flagsched.domain.timeline import EffectiveFlag, effective_flag
from flagsched.ports import Store
from flagsched.usecases.flags import read_flag


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A flag as it is now, and its value for the caller."""

    effective: EffectiveFlag
    value: bool


def evaluate_flag(name: FlagName, *, store: Store) -> Evaluated:
    """One flag for a caller of whom nothing is known; FlagMissing."""
    effective = read_flag(name, store=store)
    return Evaluated(effective, value_for_everyone(effective.state))


def evaluate_flags(environment: str, *, store: Store) -> dict[str, bool]:
    """All flags of an environment for a caller of whom nothing is known, by key, at one instant."""
    with store.reading() as work:
        flags = work.flags.all_in(environment)
        pending = work.schedules.pending(flags)
        effective = [effective_flag(flag, pending[flag.id], work.at) for flag in flags]
    return {one.flag.name.key: value_for_everyone(one.state) for one in effective}
