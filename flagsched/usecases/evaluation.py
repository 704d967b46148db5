"""What an application asks: is a flag on, for whom, and why?"""

from typing import NamedTuple

from flagsched.domain.errors import FlagMissing
from flagsched.domain.evaluation import Evaluation, Evaluator
from flagsched.domain.snapshot import Moment
from flagsched.usecases.looking import Looking


class Evaluated(NamedTuple):
    """A flag as it is now, and its evaluation for whoever asks."""

    moment: Moment
    flag: Evaluator
    evaluation: Evaluation


def evaluate_flag(environment: str, flag_key: str, targeting_key: str | None, *, looking: Looking) -> Evaluated:
    """One flag; FlagMissing, DatabaseUnavailable if nothing is known yet."""
    moment = looking.at_once(environment)
    try:
        flag = moment.flags[flag_key]
    except KeyError:
        raise FlagMissing(environment, flag_key) from None
    return Evaluated(moment, flag, flag.evaluate(targeting_key))
