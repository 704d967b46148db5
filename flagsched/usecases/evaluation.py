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
    flag = moment.flags.get(flag_key)
    if flag is None:
        raise FlagMissing(environment, flag_key)
    return Evaluated(moment, flag, flag.evaluate(targeting_key))
