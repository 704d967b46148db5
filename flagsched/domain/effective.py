"""What readers see of a flag and its schedules at an instant."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from flagsched.domain.agenda import Agenda, AnySchedule
from flagsched.domain.flags import Flag, FlagState
from flagsched.domain.schedules import PendingSchedule, Schedule, Status
from flagsched.domain.timeline import APPLIED, Outcome, next_change_at, replay
from flagsched.domain.updates import UnreadableUpdates

NOTHING_DUE: Agenda[PendingSchedule] = Agenda()


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
    ahead: bool
    """Has it not ended yet, recorded or not?"""

    @property
    def error_message(self) -> str | None:
        """Why it changes nothing when its instant comes, also before it has come."""
        updates = self.schedule.updates
        return self.schedule.error_message or (updates.reason if isinstance(updates, UnreadableUpdates) else None)


def effective_flag(flag: Flag, agenda: Agenda[AnySchedule], at: datetime) -> EffectiveFlag:
    """What a reader sees of `flag` at `at`, given its whole agenda."""
    replayed = replay(flag, agenda, at)
    return EffectiveFlag(flag, replayed.state, next_change_at(replayed), materialized=not replayed.steps)


def effective_schedules(
    schedules: Iterable[Schedule], flag: Flag, at: datetime, due: Agenda[PendingSchedule] = NOTHING_DUE
) -> list[EffectiveSchedule]:
    """What a reader sees of schedules of `flag` at `at`; `due` holds all of its agenda that is due by then."""
    outcomes = {step.schedule.seq: step.outcome for step in replay(flag, due, at).steps}
    return [
        EffectiveSchedule(one, flag, _in_effect(one, outcomes), one.pending and one.seq not in outcomes)
        for one in schedules
    ]


def _in_effect(schedule: Schedule, outcomes: Mapping[int, Outcome]) -> bool:
    """Has the schedule changed its flag, recorded or not?"""
    return outcomes.get(schedule.seq) is APPLIED if schedule.pending else schedule.status is Status.APPLIED
