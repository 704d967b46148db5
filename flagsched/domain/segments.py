"""A flag over time, as half-open segments: the past from its history, the present and the plan from `timeline`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from flagsched.domain.flags import Flag, FlagState
from flagsched.domain.history import STATE_CHANGES, StoredEntry
from flagsched.domain.schedules import Schedule
from flagsched.domain.timeline import replay
from flagsched.domain.updates import FIELDS, UnreadableUpdates, read_updates

FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cause:
    """What began a segment: a schedule, recorded or not; a draft, by its position; or an entry of the history."""

    schedule_id: UUID | None = None
    draft: int | None = None
    entry_id: int | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """The state from `start` on, until before `end`; without an end, for as long as the plan stays as it is."""

    start: datetime
    end: datetime | None
    state: FlagState
    cause: Cause


@dataclass(frozen=True, slots=True)
class Transition:
    """An instant at which a flag changes, and what it is from there on."""

    state: FlagState
    cause: Cause

    @property
    def at(self) -> datetime:
        """The instant."""
        return self.state.changed_at


def transitions(
    flag: Flag, entries: Iterable[StoredEntry], schedules: Iterable[Schedule], drafts: Mapping[UUID, int] | None = None
) -> list[Transition]:
    """All turns of a flag that its history tells and its plan foresees, in order.

    `entries` are of STATE_CHANGES, in order; `schedules` its pending ones, among them drafts with their positions.
    """
    drafts = drafts or {}
    told = {entry.id: transition for entry in entries if (transition := _told(entry))}
    past = [transition for transition in told.values() if transition.state.version < flag.state.version]
    present = next(
        (transition.cause for transition in told.values() if transition.state.version == flag.state.version), Cause()
    )
    future = [
        Transition(step.after, Cause(draft=drafts[step.schedule.id]))
        if step.schedule.id in drafts
        else Transition(step.after, Cause(schedule_id=step.schedule.id))
        for step in replay(flag, schedules, FOREVER).steps
        if step.after is not step.before
    ]
    return [*past, Transition(flag.state, present), *future]


def segments(changes: Sequence[Transition], start: datetime, end: datetime | None) -> list[Segment]:
    """The segments of the window from `start` until before `end`, cut off at its borders; none of them is empty."""
    until = [*(transition.at for transition in changes[1:]), None]
    cut = (
        Segment(max(transition.at, start), _earlier(following, end), transition.state, transition.cause)
        for transition, following in zip(changes, until, strict=True)
    )
    return [one for one in cut if one.end is None or one.start < one.end]


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)


def _told(stored: StoredEntry) -> Transition | None:
    entry = stored.entry
    updates = read_updates({name: (entry.after or {}).get(name) for name in FIELDS})
    if entry.action not in STATE_CHANGES or isinstance(updates, UnreadableUpdates):
        return None
    state = FlagState(bool(updates.enabled), updates.rollout_percentage or 0, entry.flag_version, entry.effective_at)
    return Transition(state, Cause(schedule_id=entry.schedule_id) if entry.schedule_id else Cause(entry_id=stored.id))
