"""A flag over time, as half-open segments: the past from its history, the present and the future from `timeline`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from flagsched.domain.agenda import Agenda
from flagsched.domain.effective import ending
from flagsched.domain.flags import Flag, FlagState
from flagsched.domain.history import StateChange
from flagsched.domain.holds import delay_of
from flagsched.domain.schedules import Schedule, Status
from flagsched.domain.timeline import APPLIED, steps

NO_DRAFTS: Mapping[UUID, int] = {}


@dataclass(frozen=True, slots=True)
class Cause:
    """What began a segment: a schedule, recorded or not; a draft, by its position; or an entry of the history."""

    schedule_id: UUID | None = None
    draft: int | None = None
    entry_id: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """The state from `start` on, until before `end`; without an end, for as long as the agenda stays as it is."""

    start: datetime
    end: datetime | None
    state: FlagState
    cause: Cause


@dataclass(frozen=True, slots=True)
class Transition:
    """An instant at which a flag changes, and what it is from there on; nobody sees it while it is archived."""

    state: FlagState
    cause: Cause
    archived: bool = False

    @property
    def at(self) -> datetime:
        """The instant."""
        return self.state.changed_at


def transitions(
    flag: Flag, past: Iterable[StateChange], agenda: Agenda[Schedule], drafts: Mapping[UUID, int] = NO_DRAFTS
) -> list[Transition]:
    """All transitions of a flag by its history and its agenda, in order.

    `past` is in order; `drafts` gives the positions of those schedules of the agenda that are only considered.
    """
    until_now = [change for change in past if change.state.version <= flag.state.version]
    by_version = {change.state.version: change for change in until_now}
    present = by_version.pop(flag.state.version, None)
    ahead = [
        Transition(s.after, _planned(s.schedule, drafts)) for s in steps(flag.state, agenda) if s.outcome is APPLIED
    ]
    behind = [Transition(one.state, _cause_of(one), one.archives) for one in by_version.values()]
    return [*behind, Transition(flag.state, _cause_of(present) if present else Cause()), *ahead]


def segments(changes: Sequence[Transition], start: datetime, end: datetime | None) -> list[Segment]:
    """The segments of the window from `start` until before `end`, cut off at its borders; none of them is empty.

    They follow each other without gaps, but for the time in which the flag was archived.
    """
    until = [*(transition.at for transition in changes[1:]), None]
    cut = (
        Segment(max(transition.at, start), _earlier(following, end), transition.state, transition.cause)
        for transition, following in zip(changes, until, strict=True)
        if not transition.archived
    )
    return [one for one in cut if one.end is None or one.start < one.end]


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A schedule, planned or considered, that ends and changes nothing."""

    cause: Cause
    scheduled_at: datetime
    status: Status
    reason: str | None


@dataclass(frozen=True, slots=True)
class Deferred:
    """A schedule, planned or considered, that holds keep beyond its instant: until `until`, or until a release."""

    cause: Cause
    scheduled_at: datetime
    until: datetime | None
    held_by: UUID


def passed_over(flag: Flag, agenda: Agenda[Schedule], drafts: Mapping[UUID, int] = NO_DRAFTS) -> list[PassedOver]:
    """What of an agenda will change nothing, in order."""
    return [
        PassedOver(_planned(step.schedule, drafts), step.schedule.scheduled_at, *ending(step.outcome))
        for step in steps(flag.state, agenda)
        if step.outcome is not APPLIED
    ]


def deferred(agenda: Agenda[Schedule], drafts: Mapping[UUID, int] = NO_DRAFTS) -> list[Deferred]:
    """What of an agenda holds defer, in order; what they have skipped is `passed_over`."""
    delays = ((one, delay_of(one.scheduled_at, agenda.holds)) for one in agenda.schedules)
    return [
        Deferred(_planned(one, drafts), one.scheduled_at, delay.until, delay.by.id)
        for one, delay in delays
        if delay is not None and delay.skipped_by is None
    ]


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)


def _cause_of(change: StateChange) -> Cause:
    return Cause(schedule_id=change.schedule_id) if change.schedule_id else Cause(entry_id=change.entry_id)


def _planned(schedule: Schedule, drafts: Mapping[UUID, int]) -> Cause:
    draft = drafts.get(schedule.id)
    return Cause(schedule_id=schedule.id) if draft is None else Cause(draft=draft)
