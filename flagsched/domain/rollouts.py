"""Rollouts: the same steps for several flags, in several environments, one after the other."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product
from typing import Self

from flagsched.domain.conditions import Condition
from flagsched.domain.durations import Duration
from flagsched.domain.errors import PLAN_REFUSED, InstantsRefused, Path
from flagsched.domain.flags import FlagName
from flagsched.domain.local_times import FOLD_CHOOSES, AmbiguousLocalTime, Fold, LocalTime, zone_named
from flagsched.domain.schedules import PlanItem, PlannedChange
from flagsched.domain.updates import Change, Updates


@dataclass(frozen=True, slots=True)
class RolloutStep:
    """What each flag is set to, so long after the step before, or after the start."""

    updates: Change
    after: Duration | None = None

    def under(self, condition: Condition | None) -> Self:
        """The same step on this condition."""
        return replace(self, updates=self.updates.under(condition))


@dataclass(frozen=True, slots=True)
class RolloutEnvironment:
    """An environment, and how much later than the rollout it starts."""

    name: str
    offset: Duration | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    """Implements `plans.PlanItems`: each flag gets each step in each environment.

    Without `start` it starts when it is created. With a `zone`, days are counted by its clocks. `ramped` says whether
    the request has its steps as a ramp.
    """

    flags: Sequence[str]
    environments: Sequence[RolloutEnvironment]
    steps: Sequence[RolloutStep]
    start: datetime | LocalTime | None = None
    zone: str | None = None
    ramped: bool = False

    @property
    def names(self) -> Collection[FlagName]:
        """The flags that it changes."""
        return {FlagName(environment.name, key) for environment, key in product(self.environments, self.flags)}

    @property
    def starts_now(self) -> bool:
        """Does it start when it is created?"""
        return self.start is None

    def starting(self, start: datetime) -> Sequence[PlanItem]:
        """Its changes by environment, step and flag. Raises InstantsRefused."""
        return [
            PlanItem(FlagName(environment, key), change, path, place, ("flags", k))
            for environment, change, path, place in self._changes(start)
            for k, key in enumerate(self.flags)
        ]

    def _changes(self, start: datetime) -> Iterator[tuple[str, PlannedChange, Path, Path]]:
        begins, says_when = self._begins(start)
        for i, environment in enumerate(self.environments):
            at, path = begins, says_when
            if environment.offset:
                path = ("environments", i, "offset")
                at = self._later(at, environment.offset, path)
            for j, step in enumerate(self.steps):
                place: Path = ("ramp", "steps") if self.ramped else ("steps", j)
                if j or step.after:
                    path = ("ramp", "every") if self.ramped else (*place, "after")
                    at = self._later(at, step.after or Duration(), path)
                yield environment.name, PlannedChange(at, step.updates, self._local(at, path)), path, place

    def _begins(self, start: datetime) -> tuple[datetime, Path]:
        match self.start:
            case None:
                return start, ("startAt",)
            case LocalTime():
                return _instant_of(self.start), ("localTime",)
            case _:
                return self.start, ("startAt",)

    def _later(self, at: datetime, length: Duration, path: Path) -> datetime:
        if min(length.days, length.seconds) < 0:
            raise _refused(path, "must not go back in time")
        try:
            return length.after(at, None if self.zone is None else zone_named(self.zone), self._fold)
        except AmbiguousLocalTime as error:
            raise _refused(path, f"{error}{FOLD_CHOOSES}, beside 'localTime'") from error
        except ValueError as error:
            raise _refused(path, error) from error

    @property
    def _fold(self) -> Fold | None:
        return self.start.fold if isinstance(self.start, LocalTime) else None

    def _local(self, at: datetime, path: Path) -> LocalTime | None:
        try:
            return None if self.zone is None else LocalTime.of(at, self.zone)
        except ValueError as error:
            raise _refused(path, error) from error


def _instant_of(start: LocalTime) -> datetime:
    try:
        return start.instant()
    except ValueError as error:
        raise _refused(("localTime",), error) from error


def _refused(path: Path, reason: object) -> InstantsRefused:
    return InstantsRefused({path: str(reason)}, PLAN_REFUSED)


def ramp(
    start: int, end: int, steps: int, every: Duration, *, exponential: bool = False, enable: bool = False
) -> list[RolloutStep]:
    """Steps from one percentage to another, both included, evenly or each by the same factor.

    With `enable`, the first turns the flag on. Raises ValueError for what has no such steps.
    """
    if steps < 2:
        raise ValueError("must be at least 2, one for each end")
    if start == end:
        raise ValueError(f"must lead from one percentage to another, not from {start} to {end}")
    if exponential and min(start, end) < 1:
        raise ValueError("must begin and end at 1 or more where the curve is exponential")
    last = steps - 1
    percentages = [
        round(start * (end / start) ** (n / last) if exponential else start + (end - start) * n / last)
        for n in range(steps)
    ]
    if len(set(percentages)) < steps:
        raise ValueError(f"are more than there are percentages for, from {start} to {end}: {percentages}"[:200])
    first, *others = percentages
    updates = Updates(enabled=True if enable else None, rollout_percentage=first)
    return [RolloutStep(updates), *(RolloutStep(Updates(rollout_percentage=one), every) for one in others)]
