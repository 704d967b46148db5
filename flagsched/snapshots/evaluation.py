"""What an application asks: is a flag on, for whom, and why?"""

from typing import NamedTuple

from flagsched.domain.errors import FlagMissing
from flagsched.domain.evaluation import Evaluation, Evaluator
from flagsched.domain.snapshot import EffectiveSnapshot
from flagsched.snapshots.refresher import SnapshotRefresher


class Evaluated(NamedTuple):
    """A flag as it is now, and its evaluation for one user."""

    effective: EffectiveSnapshot
    flag: Evaluator
    evaluation: Evaluation


def evaluate_flag(
    environment: str, flag_key: str, targeting_key: str | None, *, refresher: SnapshotRefresher
) -> Evaluated:
    """One flag; FlagMissing, DatabaseUnavailable if nothing is known yet."""
    effective = refresher.effective(environment)
    try:
        flag = effective.flags[flag_key]
    except KeyError:
        raise FlagMissing(environment, flag_key) from None
    return Evaluated(effective, flag, flag.evaluate(targeting_key))
