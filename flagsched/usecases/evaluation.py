"""What an application asks: is a flag on, for whom, and why?"""

from dataclasses import dataclass

from flagsched.domain.errors import FlagMissing
from flagsched.domain.evaluation import Evaluation, Evaluator
from flagsched.domain.flags import FlagName
from flagsched.domain.snapshot import Moment
from flagsched.usecases.looking import Looking


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A flag as it is now, and its evaluation for whoever asks."""

    moment: Moment
    flag: Evaluator
    evaluation: Evaluation


def evaluate_flag(name: FlagName, targeting_key: str | None, *, looking: Looking) -> Evaluated:
    """One flag; FlagMissing, DatabaseUnavailable if nothing is known yet."""
    moment = looking.at_once(name.environment)
    flag = moment.flags.get(name.key)
    if flag is None:
        raise FlagMissing(name.environment, name.key)
    return Evaluated(moment, flag, flag.evaluate(targeting_key))
