"""The heart: what a flag is at an instant. Reads, preview and worker all ask here, and nowhere else."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Generic, TypeVar

from flagsched.domain.flags import Flag, FlagState, apply
from flagsched.domain.schedules import PendingSchedule, Schedule, Status
from flagsched.domain.updates import UnreadableUpdates

AnySchedule = TypeVar("AnySchedule", bound=PendingSchedule)
ORDER = attrgetter("scheduled_at", "seq")


@dataclass(frozen=True, slots=True)
class Step(Generic[AnySchedule]):
    """One due schedule, and the flag's state before and after it; the same if it was passed over."""

    schedule: AnySchedule
    before: FlagState
    after: FlagState

    @property
    def effective_at(self) -> datetime:
        """Since when it is in effect, or would be: never before what was in effect already."""
        return _effective_at(self.schedule, self.before)


@dataclass(frozen=True, slots=True)
class Replay(Generic[AnySchedule]):
    """The due schedules of a flag, folded onto its written state in order."""

    flag: Flag
    steps: tuple[Step[AnySchedule], ...]

    @property
    def state(self) -> FlagState:
        """The state after the last step."""
        return self.steps[-1].after if self.steps else self.flag.state

    @property
    def recorded(self) -> Flag:
        """The flag once all steps are written down."""
        return replace(self.flag, state=self.state)


def in_order(schedules: Iterable[AnySchedule]) -> list[AnySchedule]:
    """The order in which schedules of one flag take effect; on a tie the later-created comes last and wins."""
    return sorted(schedules, key=ORDER)


def due(flag: Flag, schedules: Iterable[AnySchedule], at: datetime) -> list[AnySchedule]:
    """The pending schedules of `flag` whose instant has come at `at`, in order."""
    now = flag.now(at)
    return in_order(schedule for schedule in schedules if schedule.pending and schedule.is_due(now))


def replay(flag: Flag, schedules: Iterable[AnySchedule], at: datetime) -> Replay[AnySchedule]:
    """Fold onto the flag's written state the pending schedules that are due at `at`, in order.

    A schedule whose updates can't be read is passed over: it changes nothing and adds no version.
    """
    steps: list[Step[AnySchedule]] = []
    state = flag.state
    for schedule in due(flag, schedules, at):
        before = state
        if not isinstance(schedule.updates, UnreadableUpdates):
            state = apply(before, schedule.updates, _effective_at(schedule, before))
        steps.append(Step(schedule, before, state))
    return Replay(flag, tuple(steps))


def _effective_at(schedule: PendingSchedule, before: FlagState) -> datetime:
    # Never before what is in effect already, though a hand may have put it there.
    return max(schedule.scheduled_at, before.changed_at)


def state_at(flag: Flag, schedules: Iterable[PendingSchedule], at: datetime) -> FlagState:
    """What `flag` is at `at`, given its pending schedules (others are ignored).

    `at` before the flag's last change is taken as that change: the past is the history's to tell.
    """
    return replay(flag, schedules, at).state


def next_change_at(flag: Flag, schedules: Iterable[PendingSchedule], at: datetime) -> datetime | None:
    """The first instant after `at` at which the plan changes `flag`, if there is one."""
    now = flag.now(at)
    ahead = (s.scheduled_at for s in schedules if s.pending and not s.is_due(now) and _readable(s))
    return min(ahead, default=None)


def in_effect(schedule: Schedule, flag: Flag, at: datetime) -> bool:
    """Has the schedule changed `flag` at `at`, written down or not?"""
    if schedule.pending:
        return schedule.is_due(flag.now(at)) and _readable(schedule)
    return schedule.status is Status.APPLIED


def _readable(schedule: PendingSchedule) -> bool:
    return not isinstance(schedule.updates, UnreadableUpdates)
