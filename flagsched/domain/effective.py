"""What readers are told of a flag and its schedules at an instant."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from flagsched.domain.flags import Flag, FlagState
from flagsched.domain.schedules import PendingSchedule, Schedule
from flagsched.domain.timeline import in_effect, next_change_at, replay
from flagsched.domain.updates import UnreadableUpdates


@dataclass(frozen=True, slots=True)
class EffectiveFlag:
    """A flag as a reader sees it at an instant."""

    flag: Flag
    state: FlagState
    next_change_at: datetime | None
    materialized: bool


@dataclass(frozen=True, slots=True)
class EffectiveSchedule:
    """A schedule as a reader sees it at an instant."""

    schedule: Schedule
    flag: Flag
    in_effect: bool

    @property
    def error_message(self) -> str | None:
        """Why it changes nothing when its instant comes, told also before."""
        updates = self.schedule.updates
        return self.schedule.error_message or (updates.reason if isinstance(updates, UnreadableUpdates) else None)


def effective_flag(flag: Flag, schedules: Iterable[PendingSchedule], at: datetime) -> EffectiveFlag:
    """What a reader is told of `flag` at `at`; `schedules` holds all its pending ones."""
    pending = list(schedules)
    replayed = replay(flag, pending, at)
    return EffectiveFlag(
        flag=flag,
        state=replayed.state,
        next_change_at=next_change_at(flag, pending, at),
        materialized=not replayed.steps,
    )


def effective_schedule(schedule: Schedule, flag: Flag, at: datetime) -> EffectiveSchedule:
    """What a reader is told of `schedule` at `at`."""
    return EffectiveSchedule(schedule, flag, in_effect(schedule, flag, at))
