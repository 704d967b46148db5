"""What a flag was, is and will be, with or without changes that are only considered."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar
from uuid import uuid4

from flagsched.domain.agenda import Agenda
from flagsched.domain.effective import EffectiveFlag, EffectiveSchedule, effective_flag, effective_schedules
from flagsched.domain.flags import Flag, FlagName
from flagsched.domain.history import StateChange
from flagsched.domain.holds import Hold
from flagsched.domain.limits import DEFAULT_LIMITS, ScheduleLimits
from flagsched.domain.schedules import (
    PlannedChange,
    Schedule,
    Status,
    conflicts,
    items_of_batch,
    number_schedules,
    refuse_duplicates,
)
from flagsched.domain.segments import (
    Cause,
    Deferred,
    PassedOver,
    Segment,
    deferred,
    passed_over,
    segments,
    transitions,
)
from flagsched.ports.flags import FlagQuery
from flagsched.ports.pages import Page
from flagsched.ports.schedules import ScheduleQuery
from flagsched.ports.store import Reading, Store
from flagsched.usecases.flags import find_flag
from flagsched.usecases.overrides import refuse_planned_overrides

MAX_PAST_CHANGES = 1000
MAX_PAST_CHANGES_OF_ALL = 5000
Planned = TypeVar("Planned", PassedOver, Deferred)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Segments of a window, with the holds in it, and what of it changed nothing or is kept by holds.

    If they end before it does, the rest begins at `next_start`.
    """

    segments: Sequence[Segment]
    next_start: datetime | None = None
    holds: Sequence[Hold] = ()
    passed_over: Sequence[PassedOver] = ()
    deferred: Sequence[Deferred] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """What a flag would be from now on, and which pending schedules meddle with what is considered.

    And what of all of it would change nothing, or be kept by holds.
    """

    segments: Sequence[Segment]
    conflicts: Sequence[EffectiveSchedule]
    passed_over: Sequence[PassedOver] = ()
    deferred: Sequence[Deferred] = ()


def read_timeline(
    name: FlagName, start: datetime | None, end: datetime | None, *, store: Store, limit: int = MAX_PAST_CHANGES
) -> Timeline:
    """A flag from `start` (else its creation) until before `end` (else for good); FlagMissing."""
    with store.reading() as work:
        flag = find_flag(work, name)
        start = max(start or flag.created_at, flag.created_at)
        past = work.history.state_changes(flag, start, end, limit + 1).items
        # One more than is shown, to know where to go on.
        next_start = past[limit].state.changed_at if len(past) > limit else None
        agenda, until = work.schedules.pending(flag), next_start or end
        holds = work.holds.bearing_on([flag], start).get(flag.id, ())
        timeline = _timeline(flag, agenda, start, until, past=past, holds=holds, ended=_ended(work, flag))
        return replace(timeline, next_start=next_start)


@dataclass(frozen=True, slots=True)
class FlagTimeline:
    """A flag as it is now, and over time."""

    flag: EffectiveFlag
    timeline: Timeline


def list_timelines(
    query: FlagQuery, start: datetime, end: datetime, *, store: Store, limit: int = MAX_PAST_CHANGES_OF_ALL
) -> Page[FlagTimeline]:
    """Flags by key, each as it is now, and as `read_timeline` tells it but for what has ended without an effect.

    Where the past of all of them is too long, all are told from one later instant on.
    """
    with store.reading() as work:
        page = work.flags.page(query)
        past, since = work.history.state_changes_of(page.items, start, limit)
        agendas, holds = work.schedules.pending_of(page.items), work.holds.bearing_on(page.items, start)

        def told(flag: Flag) -> FlagTimeline:
            agenda, bearing = agendas[flag.id], holds.get(flag.id, ())
            timeline = _timeline(flag, agenda, since or start, end, past=past[flag.id], holds=bearing)
            return FlagTimeline(effective_flag(flag, agenda, work.at, bearing), timeline)

        return Page([told(flag) for flag in page.items], page.more)


def _timeline(
    flag: Flag,
    agenda: Agenda[Schedule],
    start: datetime,
    end: datetime | None,
    *,
    past: Sequence[StateChange],
    holds: Sequence[Hold],
    ended: Sequence[PassedOver] = (),
) -> Timeline:
    return Timeline(
        segments(transitions(flag, past, agenda), max(start, flag.created_at), end),
        holds=[hold for hold in holds if end is None or hold.starts_at < end],
        passed_over=_within([*ended, *passed_over(flag, agenda)], start, end),
        deferred=_within(deferred(agenda), start, end),
    )


def preview_schedules(
    name: FlagName, drafts: Sequence[PlannedChange], *, store: Store, limits: ScheduleLimits = DEFAULT_LIMITS
) -> Preview:
    """What the flag would be, from now on, with these changes; judged like their creation, and nothing is written.

    Raises DuplicateInstants, FlagMissing, QuotaExceeded, TooManyOverrides, InstantsRefused.
    """
    items = items_of_batch(name, drafts)
    refuse_duplicates(items)
    with store.reading() as work:
        flag = find_flag(work, name)
        now = flag.now(work.at)
        agenda = work.schedules.pending(flag)
        limits.refuse_quota(flag, len(agenda.ahead(now).schedules), len(drafts))
        refuse_planned_overrides(work.overrides, flag, drafts, agenda.schedules)
        limits.refuse_instants(items, lambda _: now)
        return foresee(work, flag, agenda, drafts)


def foresee(work: Reading, flag: Flag, agenda: Agenda[Schedule], drafts: Sequence[PlannedChange]) -> Preview:
    """What a flag with this agenda would be from now on with these changes."""
    now = flag.now(work.at)
    drafted = number_schedules(flag, drafts, ids=[uuid4() for _ in drafts], batch_id=None, by="", at=now)
    whole = Agenda.of([*agenda.schedules, *drafted])
    whole = whole.under(work.holds.bearing_on([flag], min(now, whole.begins_at or now)).get(flag.id, ()))
    in_the_way = effective_schedules(
        conflicts(drafts, agenda.ahead(now).schedules), flag, now, Agenda(holds=whole.holds)
    )
    positions = {draft.id: position for position, draft in enumerate(drafted)}
    present = work.history.state_changes(flag, now, None, 1).items
    return Preview(
        segments(transitions(flag, present, whole, positions), now, None),
        in_the_way,
        passed_over(flag, whole, positions),
        deferred(whole, positions),
    )


def _ended(work: Reading, flag: Flag) -> list[PassedOver]:
    """What is recorded as having changed nothing, the last MAX_PAST_CHANGES of them."""
    query = ScheduleQuery(statuses=[Status.SKIPPED, Status.FAILED], limit=MAX_PAST_CHANGES)
    return [
        PassedOver(Cause(schedule_id=one.id), one.scheduled_at, one.status, one.status_reason)
        for one in work.schedules.page(flag, query).items
    ]


def _within(found: Iterable[Planned], start: datetime, end: datetime | None) -> list[Planned]:
    return [one for one in found if start <= one.scheduled_at and (end is None or one.scheduled_at < end)]
