"""What a flag was, is and will be, with or without changes that are only considered."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar
from uuid import UUID, uuid4

from flagsched.domain.agenda import Agenda
from flagsched.domain.effective import EffectiveFlag, EffectiveSchedule, effective_flag, effective_schedules
from flagsched.domain.flags import Flag, FlagName, FlagState
from flagsched.domain.history import StateChange, StoredEntry
from flagsched.domain.holds import AtEnd, Hold, Release
from flagsched.domain.instants import to_milliseconds
from flagsched.domain.limits import DEFAULT_LIMITS, ScheduleLimits
from flagsched.domain.plans import Plan
from flagsched.domain.schedules import (
    PlannedChange,
    Schedule,
    Status,
    conflicts,
    delayed_from,
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
class Present:
    """What a flag is now, and what made it so: a schedule, maybe of a plan, or an entry of the history.

    `step` says which of the plan's schedules for this flag it was, and of how many.
    """

    state: FlagState
    schedule: Schedule | None = None
    plan: Plan | None = None
    step: tuple[int, int] | None = None
    entry: StoredEntry | None = None


def read_present(name: FlagName, *, store: Store) -> Present:
    """What a flag is now, and why; FlagMissing."""
    with store.reading() as work:
        flag = find_flag(work, name)
        now = flag.now(work.at)
        past = work.history.state_changes(flag, now, None, 1).items
        reached = transitions(flag, past, work.schedules.pending(flag))
        present = next(one for one in reversed(reached) if one.at <= now)
        cause = present.cause
        schedule = work.schedules.find(flag, cause.schedule_id) if cause.schedule_id else None
        entry = work.history.find(cause.entry_id) if cause.entry_id else None
        plan = work.plans.find(schedule.batch_id) if schedule and schedule.batch_id else None
        return Present(present.state, schedule, plan, _step(work, schedule) if plan and schedule else None, entry)


def _step(work: Reading, schedule: Schedule) -> tuple[int, int] | None:
    own = work.schedules.of_plans([schedule.batch_id] if schedule.batch_id else [])
    steps = [one.id for one in own if one.flag_id == schedule.flag_id and one.status is not Status.CANCELLED]
    return (steps.index(schedule.id) + 1, len(steps)) if schedule.id in steps else None


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
        return Page(_timelines(work, page.items, start, end, limit), page.more)


def read_timelines(
    flag_ids: Collection[UUID], start: datetime, end: datetime, *, store: Store, limit: int = MAX_PAST_CHANGES_OF_ALL
) -> list[FlagTimeline]:
    """The same of these flags, archived or not, by environment and key."""
    with store.reading() as work:
        flags = sorted(work.flags.among(flag_ids).values(), key=lambda flag: (flag.name.environment, flag.name.key))
        return _timelines(work, flags, start, end, limit)


def _timelines(work: Reading, flags: Sequence[Flag], start: datetime, end: datetime, limit: int) -> list[FlagTimeline]:
    past, since = work.history.state_changes_of(flags, start, limit)
    agendas, holds = work.schedules.pending_of(flags), work.holds.bearing_on(flags, start)

    def told(flag: Flag) -> FlagTimeline:
        agenda, bearing = agendas[flag.id], holds.get(flag.id, ())
        timeline = _timeline(flag, agenda, since or start, end, past=past[flag.id], holds=bearing)
        return FlagTimeline(effective_flag(flag, agenda, work.at, bearing), timeline)

    return [told(flag) for flag in flags]


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


def preview_release(hold: Hold, name: FlagName, *, store: Store) -> Mapping[Release, Timeline]:
    """What a flag would be from now on, if its hold were released now, by what would become of what it keeps.

    A hold of an environment, or one that has not begun, can't be shifted. FlagMissing.
    """
    with store.reading() as work:
        flag = find_flag(work, name)
        now = to_milliseconds(flag.now(work.at))
        agenda = work.schedules.pending(flag)
        others = [one for one in work.holds.bearing_on([flag], hold.starts_at).get(flag.id, ()) if one.id != hold.id]
        past = work.history.state_changes(flag, now, None, 1).items

        def told(at_end: AtEnd, released: Agenda[Schedule]) -> Timeline:
            bearing = (*others, hold.released(at_end, "", now))
            return _timeline(flag, released.under(bearing), now, None, past=past, holds=others)

        ways = {Release(at_end): told(at_end, agenda) for at_end in AtEnd}
        if hold.flag_id is not None and hold.starts_at < now:
            moved = {before.id: after for before, after in delayed_from(agenda.schedules, hold.starts_at, now)}
            ways[Release.SHIFT] = told(AtEnd.CATCH_UP, Agenda.of(moved.get(one.id, one) for one in agenda.schedules))
        return ways


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
