"""What readers see of a flag and its schedules at an instant."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from flagsched.domain.agenda import Agenda, AnySchedule
from flagsched.domain.flags import Flag, FlagState
from flagsched.domain.holds import Delay, Hold, delay_of
from flagsched.domain.schedules import PendingSchedule, Schedule, Status
from flagsched.domain.timeline import Applied, Failed, Outcome, Skipped, next_change_at, replay
from flagsched.domain.updates import UnreadableUpdates

NOTHING_DUE: Agenda[PendingSchedule] = Agenda()


@dataclass(frozen=True, slots=True)
class EffectiveFlag:
    """A flag as a reader sees it at an instant; `holds` are those that stop its agenda then."""

    flag: Flag
    state: FlagState
    next_change_at: datetime | None
    materialized: bool
    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True, slots=True)
class EffectiveSchedule:
    """A schedule as a reader sees it at an instant: `status` and `reason` are right, recorded or not."""

    schedule: Schedule
    flag: Flag
    status: Status
    reason: str | None = None
    delay: Delay | None = None
    """What holds do with it, if it is ahead."""
    held: bool = False
    """Is it ahead of a flag that is held now, and ends only after that?"""

    @property
    def in_effect(self) -> bool:
        """Has it changed its flag?"""
        return self.status is Status.APPLIED

    @property
    def ahead(self) -> bool:
        """Has it not ended yet?"""
        return self.status is Status.PENDING

    @property
    def takes_effect_at(self) -> datetime | None:
        """When it ends, as far as it is known: None if it has ended, or while an open hold keeps it."""
        if not self.ahead:
            return None
        return self.delay.until if self.delay else self.schedule.scheduled_at

    @property
    def held_by(self) -> UUID | None:
        """The hold that decides when it ends, if one does."""
        return self.delay.by.id if self.delay else None

    @property
    def error_message(self) -> str | None:
        """Why it fails when its instant comes, also before it has come."""
        if self.status is Status.FAILED:
            return self.reason
        updates = self.schedule.updates
        return updates.reason if self.ahead and isinstance(updates, UnreadableUpdates) else None


def effective_flag(flag: Flag, agenda: Agenda[AnySchedule], at: datetime, holds: Iterable[Hold] = ()) -> EffectiveFlag:
    """What a reader sees of `flag` at `at`, given its whole agenda, and all holds that bear on it and are not over."""
    replayed = replay(flag, agenda, at)
    active = tuple(hold for hold in holds if hold.covers(at))
    return EffectiveFlag(flag, replayed.state, next_change_at(replayed), materialized=not replayed.steps, holds=active)


def effective_schedules(
    schedules: Iterable[Schedule], flag: Flag, at: datetime, due: Agenda[PendingSchedule] = NOTHING_DUE
) -> list[EffectiveSchedule]:
    """What a reader sees of schedules of `flag` at `at`; `due` holds all of its agenda that is due by then.

    And all holds that bear on these schedules.
    """
    outcomes = {step.schedule.seq: step.outcome for step in replay(flag, due, at).steps}
    return [_effective_schedule(one, flag, outcomes.get(one.seq), due.holds, at) for one in schedules]


def _effective_schedule(
    schedule: Schedule, flag: Flag, outcome: Outcome | None, holds: tuple[Hold, ...], at: datetime
) -> EffectiveSchedule:
    if not schedule.pending or outcome is None:
        delay = delay_of(schedule.scheduled_at, holds) if schedule.pending else None
        held = delay is not None and any(hold.covers(at) for hold in holds)
        return EffectiveSchedule(schedule, flag, schedule.status, schedule.status_reason, delay, held)
    return EffectiveSchedule(schedule, flag, *ending(outcome))


def ending(outcome: Outcome) -> tuple[Status, str | None]:
    """The status that an outcome gives a schedule, and the reason."""
    match outcome:
        case Applied():
            return Status.APPLIED, None
        case Skipped():
            return Status.SKIPPED, outcome.reason
        case Failed():
            return Status.FAILED, outcome.reason
