"""Plans that are asked for, showing only what matters to a test."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.durations import Duration
from flagsched.domain.flags import FlagName
from flagsched.domain.plans import ListedChanges, NewPlan
from flagsched.domain.rollouts import Rollout, RolloutEnvironment, RolloutStep
from flagsched.domain.schedules import PlanItem, PlannedChange
from flagsched.domain.updates import Change, Updates
from flagsched.usecases.flags import create_flag
from tests.builders import ADMIN, a_new_flag, after

ON = Updates(enabled=True)
Asked = tuple[FlagName, PlannedChange]


def named(key: str, environment: str = "production") -> FlagName:
    return FlagName(environment, key)


def create(store: SqlStore, *keys: str, environments: Sequence[str] = ("production",)) -> list[FlagName]:
    """Create a flag of each key in each environment."""
    names = [named(key, environment) for environment in environments for key in keys]
    for name in names:
        create_flag(a_new_flag(name.key, name.environment), by=ADMIN, store=store)
    return names


def asked(key: str, seconds: float, updates: Change = ON, environment: str = "production") -> Asked:
    """A change of a flag, so many seconds after noon."""
    return named(key, environment), PlannedChange(after(seconds), updates)


def listed(*changes: Asked, **texts: Any) -> NewPlan:
    """A plan of these changes, as a request lists them."""
    items = [
        PlanItem(name, change, ("changes", i, change.says_when), ("changes", i), ("changes", i, "flagKey"))
        for i, (name, change) in enumerate(changes)
    ]
    return NewPlan(ListedChanges(items), **texts)


def rollout(
    keys: Sequence[str],
    *percentages: int,
    every: float = 60,
    start: datetime | None = None,
    environments: Sequence[RolloutEnvironment] = (RolloutEnvironment("production"),),
    **texts: Any,
) -> NewPlan:
    """A plan of these percentages for each of the flags, so many seconds apart; it starts now without a `start`."""
    first, *others = (Updates(rollout_percentage=one) for one in percentages)
    steps = [RolloutStep(first), *(RolloutStep(one, Duration(seconds=int(every))) for one in others)]
    return NewPlan(Rollout(keys, environments, steps, start), **texts)
