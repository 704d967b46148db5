"""Evaluation: is a flag on?"""

from flagsched.domain.flags import FlagState


def value_for_everyone(state: FlagState) -> bool:
    """Is the flag on for a caller of whom nothing is known? A percentage of users does not hold them."""
    return state.enabled and state.rollout_percentage == 100
