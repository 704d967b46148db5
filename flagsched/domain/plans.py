"""Plans: what one call planned, over any flags and environments, and how far it has come."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol, Self
from uuid import UUID

from flagsched.domain.durations import Duration
from flagsched.domain.effective import EffectiveSchedule
from flagsched.domain.errors import PlanChanged, PlanEnded
from flagsched.domain.flags import FlagName, Precondition
from flagsched.domain.local_times import Fold
from flagsched.domain.schedules import PlanItem, Status

PLAN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MAX_TITLE = 200
MAX_DESCRIPTION = 1000
MAX_CHANGES = 200
MAX_FLAGS = 50
MAX_SCHEDULES = 1000
"""How many schedules a plan may have in its life, with all that were cancelled."""


class PlanStatus(StrEnum):
    """How far a plan has come."""

    UPCOMING = "upcoming"
    RUNNING = "running"
    HELD = "held"
    DONE = "done"
    CANCELLED = "cancelled"


class PlanItems(Protocol):
    """The changes that are asked for, in order, once it is known when the plan starts."""

    @property
    def names(self) -> Collection[FlagName]:
        """The flags that they change."""

    @property
    def starts_now(self) -> bool:
        """Does the plan start at once? Then what falls on its start is in effect when it is created."""

    def starting(self, start: datetime) -> Sequence[PlanItem]:
        """The changes of a plan that starts at `start`, unless it says when it does. Raises ValidationFailed."""


@dataclass(frozen=True, slots=True)
class ListedChanges:
    """Changes that each say when."""

    items: Sequence[PlanItem]

    @property
    def names(self) -> Collection[FlagName]:
        """The flags that they change."""
        return {item.name for item in self.items}

    @property
    def starts_now(self) -> bool:
        """No: each is in the future."""
        return False

    def starting(self, start: datetime) -> Sequence[PlanItem]:
        """The changes, whenever the plan starts."""
        del start
        return self.items


@dataclass(frozen=True, slots=True)
class NewPlan:
    """A plan that is asked for. Its `name` is that of a file, say: no two plans have one until they are ended."""

    items: PlanItems
    name: str | None = None
    title: str = ""
    description: str = ""

    def made(self, plan_id: UUID, by: str, at: datetime) -> "Plan":
        """The plan that this makes at `at`, in version 1."""
        return Plan(plan_id, self.name, self.title, self.description, 1, by, at, at)


@dataclass(frozen=True, slots=True)
class PlanEdit:
    """What an admin changes of a plan; None leaves it as it is. `shift` moves all that is not in effect yet.

    `fold` says which instant is meant where that leads to a local time which exists twice.
    """

    title: str | None = None
    description: str | None = None
    shift: Duration | None = None
    fold: Fold | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is stored of a plan; its schedules have its id."""

    id: UUID
    name: str | None
    title: str
    description: str
    version: int
    created_by: str
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None

    def refuse_unless(self, precondition: Precondition) -> None:
        """Raise PlanChanged if a change is made for another version, PlanEnded if the plan was ended."""
        if not precondition.allows(self.id, self.version):
            raise PlanChanged(self.id, self.version)
        if self.ended_at is not None:
            raise PlanEnded(self.id)

    def edited(self, edit: PlanEdit, at: datetime) -> Self:
        """The plan after an accepted edit: one version more."""
        return replace(
            self,
            title=self.title if edit.title is None else edit.title,
            description=self.description if edit.description is None else edit.description,
            version=self.version + 1,
            updated_at=at,
        )

    def ended(self, at: datetime) -> Self:
        """The plan after somebody has ended it: its name is free."""
        return replace(self, version=self.version + 1, updated_at=at, ended_at=at)


@dataclass(frozen=True, slots=True)
class Progress:
    """How many schedules of a plan are ahead, and what became of the others; `next_at` is the next instant."""

    pending: int
    applied: int
    skipped: int
    cancelled: int
    failed: int
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class EffectivePlan:
    """A plan as a reader sees it at an instant, with its schedules in order."""

    plan: Plan
    schedules: Sequence[EffectiveSchedule]

    @property
    def pending(self) -> list[EffectiveSchedule]:
        """What is ahead."""
        return [one for one in self.schedules if one.ahead]

    @property
    def ended(self) -> list[EffectiveSchedule]:
        """What is in effect, was skipped or cancelled, or has failed, recorded or not."""
        return [one for one in self.schedules if not one.ahead]

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        became = Counter(one.status for one in self.schedules)
        return Progress(
            pending=became[Status.PENDING],
            applied=became[Status.APPLIED],
            skipped=became[Status.SKIPPED],
            cancelled=became[Status.CANCELLED],
            failed=became[Status.FAILED],
            next_at=min((at for one in self.pending if (at := one.takes_effect_at)), default=None),
        )

    @property
    def status(self) -> PlanStatus:
        """Upcoming until its first instant, running while something is ahead, and held if a hold keeps some of that."""
        progress = self.progress
        came = progress.applied + progress.skipped + progress.failed
        if any(one.held for one in self.pending):
            return PlanStatus.HELD
        if progress.pending:
            return PlanStatus.RUNNING if came else PlanStatus.UPCOMING
        was_stopped = self.plan.ended_at is not None and progress.cancelled
        return PlanStatus.DONE if came and not was_stopped else PlanStatus.CANCELLED

    @property
    def environments(self) -> list[str]:
        """The environments of its flags."""
        return sorted({one.flag.name.environment for one in self.schedules})

    @property
    def flags(self) -> list[str]:
        """The keys of its flags."""
        return sorted({one.flag.name.key for one in self.schedules})
