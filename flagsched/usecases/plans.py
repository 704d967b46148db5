"""What an admin does with plans: each is decided as a whole, against the clock, under all of its locks."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias
from uuid import UUID, uuid4

from flagsched.domain.durations import Duration
from flagsched.domain.effective import EffectiveSchedule
from flagsched.domain.errors import (
    PLAN_KEPT,
    PLAN_REFUSED,
    FlagMissing,
    FlagsMissing,
    PlanEnded,
    PlanExists,
    PlanMissing,
    ValidationFailed,
)
from flagsched.domain.flags import ANY_VERSION, Flag, FlagName, Precondition
from flagsched.domain.history import Actor, schedule_entry
from flagsched.domain.instants import rfc3339, to_milliseconds
from flagsched.domain.limits import DEFAULT_LIMITS, ScheduleLimits
from flagsched.domain.local_times import FOLD_CHOOSES, AmbiguousLocalTime, Fold
from flagsched.domain.plans import EffectivePlan, NewPlan, Plan, PlanEdit, PlanStatus
from flagsched.domain.schedules import PlanItem, Schedule, refuse_duplicates
from flagsched.ports.plans import PlanQuery
from flagsched.ports.store import Reading, Store, Writing
from flagsched.usecases.idempotency import IdempotentRequest, give_back_key, keep_response, take_key
from flagsched.usecases.locks import lock_existing, retry_when_overtaken
from flagsched.usecases.materialise import record
from flagsched.usecases.overrides import refuse_planned_overrides
from flagsched.usecases.schedules import (
    add_schedules,
    by_flag,
    change_flags,
    refuse_quotas,
    show_schedules,
    with_next_due,
)
from flagsched.usecases.timeline import Preview, foresee

MAX_READ = 200
"""How many plans one request for those of a status reads at most: a page may be shorter than asked for."""
Change: TypeAlias = tuple[Schedule, Schedule]
"""A schedule as it was before, and as it is after."""


@dataclass(frozen=True, slots=True)
class CreatedPlan:
    """A plan, and its schedules in the order in which they were asked for."""

    plan: EffectivePlan
    schedules: Sequence[EffectiveSchedule]


@dataclass(frozen=True, slots=True)
class PlanPage:
    """Some plans; those that follow are before (created_at, id) `next_before`, if any follow."""

    items: Sequence[EffectivePlan]
    next_before: tuple[datetime, UUID] | None = None


@dataclass(frozen=True, slots=True)
class LockedPlan:
    """A plan under the locks of all flags that something of it is ahead for, with what is in effect recorded."""

    plan: Plan
    flags: Mapping[UUID, Flag]
    schedules: Sequence[Schedule]
    clock: datetime

    @property
    def pending(self) -> list[Schedule]:
        """What is ahead."""
        return [one for one in self.schedules if one.pending]

    def now(self, schedule: Schedule) -> datetime:
        """The present of the schedule's flag."""
        return self.flags[schedule.flag_id].now(self.clock)


@retry_when_overtaken
def create_plan(
    asked: NewPlan,
    *,
    by: Actor,
    store: Store,
    limits: ScheduleLimits = DEFAULT_LIMITS,
    idempotent: IdempotentRequest[CreatedPlan] | None = None,
) -> CreatedPlan:
    """Create a plan with all its schedules, or nothing.

    Raises ValidationFailed, FlagsMissing, FlagBusy, QuotaExceeded, PlanExists; with `idempotent` also Replayed,
    KeyReused, KeyInProgress.
    """
    with store.writing() as work:
        take_key(work, idempotent)
        if asked.name is not None and work.plans.lock_named(asked.name):
            raise PlanExists(asked.name)
        created, changed = add_plan(work, asked, by=by, limits=limits)
        keep_response(work, idempotent, created, created.plan.plan.created_at)
        change_flags(work, changed)
        work.commit()
    return created


def preview_plan(
    asked: NewPlan, *, store: Store, limits: ScheduleLimits = DEFAULT_LIMITS
) -> Mapping[FlagName, Preview]:
    """What the flags would be, from now on, with this plan; judged like its creation, and nothing is written.

    Raises ValidationFailed, FlagsMissing, QuotaExceeded.
    """
    with store.reading() as work:
        flags = {name: flag for name in asked.items.names if (flag := work.flags.find(name))}
        start = _start(flags.values(), to_milliseconds(work.at))
        items = asked.items.starting(start)
        refuse_items(items, flags)
        agendas = {name: work.schedules.pending(flags[name]) for name in sorted(flags, key=_environment_first)}
        drafts = {name: [item.change for item in own] for name, own in by_flag(items).items()}
        for name, agenda in agendas.items():
            pending = agenda.ahead(flags[name].now(work.at)).schedules
            limits.refuse_quota(flags[name], len(pending), len(drafts[name]))
            refuse_planned_overrides(work.overrides, flags[name], drafts[name], agenda.schedules)
        limits.refuse_instants(_ahead(asked, items, start), lambda name: flags[name].now(work.at), PLAN_REFUSED)
        return {name: foresee(work, flags[name], agenda, drafts[name]) for name, agenda in agendas.items()}


def list_plans(query: PlanQuery, status: PlanStatus | None = None, *, store: Store) -> PlanPage:
    """Plans by (created_at, id), newest first; of one status if that is asked for.

    Then at most MAX_READ plans are read, and a page may be shorter than its limit though more follows.
    """
    limit = query.limit
    if status is not None:
        query = replace(query, limit=max(limit, MAX_READ // 4))  # Most of them may be of another status.
    with store.reading() as work:
        found: list[EffectivePlan] = []
        for _ in range(-(-MAX_READ // query.limit)):
            page = work.plans.page(query)
            for plan in show_plans(work, page.items, work.schedules.of_plans([one.id for one in page.items]), work.at):
                if len(found) == limit:
                    return PlanPage(found, query.before)
                query = replace(query, before=(plan.plan.created_at, plan.plan.id))
                if status in (None, plan.status):
                    found.append(plan)
            if not page.more:
                return PlanPage(found)
            if len(found) == limit:
                break
        return PlanPage(found, query.before)


def read_plan(plan_id: UUID, *, store: Store) -> EffectivePlan:
    """One plan as it is now; PlanMissing."""
    with store.reading() as work:
        plan = work.plans.find(plan_id)
        if plan is None:
            raise PlanMissing(plan_id)
        return show_plans(work, [plan], work.schedules.of_plans([plan_id]), work.at)[0]


def find_plans(plan_ids: Collection[UUID], *, store: Store) -> Mapping[UUID, Plan]:
    """The plans of these ids, by id, without their schedules."""
    if not plan_ids:
        return {}
    with store.reading() as work:
        return work.plans.among(plan_ids)


def edit_plan(
    plan_id: UUID,
    edit: PlanEdit,
    *,
    by: Actor,
    store: Store,
    limits: ScheduleLimits = DEFAULT_LIMITS,
    precondition: Precondition = ANY_VERSION,
    idempotent: IdempotentRequest[EffectivePlan] | None = None,
) -> EffectivePlan:
    """Change a plan's texts, and move all of it that is not in effect yet, or nothing.

    Raises PlanMissing, PlanChanged, PlanEnded, FlagBusy, ValidationFailed; AlreadyApplied or AlreadyFailed if something
    of it takes effect while this waits; with `idempotent` also Replayed, KeyReused, KeyInProgress.
    """
    ahead = {one.schedule.id for one in read_plan(plan_id, store=store).pending} if edit.shift else set()
    return _edit(
        plan_id,
        edit,
        ahead,
        by=by,
        store=store,
        limits=limits,
        precondition=precondition,
        idempotent=idempotent,
    )


@retry_when_overtaken
def _edit(
    plan_id: UUID,
    edit: PlanEdit,
    seen_ahead: Collection[UUID],
    *,
    by: Actor,
    store: Store,
    limits: ScheduleLimits,
    precondition: Precondition,
    idempotent: IdempotentRequest[EffectivePlan] | None,
) -> EffectivePlan:
    with store.writing() as work:
        take_key(work, idempotent)
        locked = _lock(work, plan_id, precondition)
        late = [one for one in locked.schedules if one.id in seen_ahead and one.ended_by_instant]
        if late:
            give_back_key(work, idempotent)
            work.commit()  # What made it too late is worth keeping.
            late[0].refuse_unless_pending()
        moved = [] if edit.shift is None else _shifted(locked, edit.shift, edit.fold, limits)
        work.schedules.edit([after for _, after in moved])
        edited = _write(work, locked, locked.plan.edited(edit, locked.clock), moved, by=by)
        keep_response(work, idempotent, edited, locked.clock)
        _change_flags(work, locked, moved)
        work.commit()
    return edited


@retry_when_overtaken
def end_plan(plan_id: UUID, *, by: Actor, store: Store, precondition: Precondition = ANY_VERSION) -> EffectivePlan:
    """Cancel all of a plan that is not in effect yet, and free its name.

    Raises PlanMissing, PlanChanged, PlanEnded, FlagBusy.
    """
    with store.writing() as work:
        locked = _lock(work, plan_id, precondition)
        cancelled = [(one, one.cancelled(by.name, locked.now(one))) for one in locked.pending]
        work.schedules.cancel([after for _, after in cancelled])
        ended = _write(work, locked, locked.plan.ended(locked.clock), cancelled, by=by)
        _change_flags(work, locked, cancelled)
        work.commit()
    return ended


def add_plan(
    work: Writing, asked: NewPlan, *, by: Actor, limits: ScheduleLimits
) -> tuple[CreatedPlan, Collection[Flag]]:
    """Insert a plan with its schedules, and record what of it is in effect at once.

    Returns it, and the flags that are yet to be written. Raises ValidationFailed, FlagsMissing, FlagBusy,
    QuotaExceeded, PlanExists.
    """
    flags, clock = lock_existing(work, asked.items.names)
    start = _start(flags.values(), clock)
    items = asked.items.starting(start)
    refuse_items(items, flags)
    refuse_quotas(work, items, flags, limits)
    limits.refuse_instants(_ahead(asked, items, start), lambda name: flags[name].now(clock), PLAN_REFUSED)
    plan = asked.made(uuid4(), by.name, start)
    work.plans.add(plan)
    added = add_schedules(work, items, flags, clock, plan_id=plan.id, by=by)
    planned, changed = added.schedules, added.flags
    at_once = [flag for flag in changed.values() if flag.is_due(clock)]
    if at_once:
        changed |= {flag.name: flag for flag in record(work, at_once, clock)}
        stored = {one.id: one for one in work.schedules.of_plans([plan.id])}
        planned = [stored[one.id] for one in planned]
    shown = show_plans(work, [plan], planned, clock)[0]
    by_id = {one.schedule.id: one for one in shown.schedules}
    return CreatedPlan(shown, [by_id[one.id] for one in planned]), changed.values()


def lock_flags_of(work: Writing, plan: Plan, names: Collection[FlagName] = ()) -> LockedPlan:
    """A locked plan, with the flags of what is ahead of it and those of these names that exist."""
    ids = {one.flag_id for one in work.schedules.of_plans([plan.id]) if one.pending}
    flags, clock = lock_existing(work, names, ids)
    by_id = {flag.id: flag for flag in flags.values()}
    return LockedPlan(plan, by_id, work.schedules.of_plans([plan.id]), clock)


def refuse_items(items: Sequence[PlanItem], flags: Mapping[FlagName, Flag]) -> None:
    """Raise DuplicateInstants, or FlagsMissing unless `flags` has all that are to be changed."""
    refuse_duplicates(items)
    missing = dict.fromkeys((item.names_flag, item.name) for item in items if item.name not in flags)
    if missing:
        raise FlagsMissing([(path, FlagMissing(name.environment, name.key)) for path, name in missing])


def show_plans(
    work: Reading | Writing, plans: Sequence[Plan], schedules: Sequence[Schedule], at: datetime
) -> list[EffectivePlan]:
    """What a reader sees of plans at `at`, each by time, environment and key; `schedules` are all of theirs."""
    flags = work.flags.among({one.flag_id for one in schedules}) if schedules else {}
    own: dict[UUID | None, list[EffectiveSchedule]] = defaultdict(list)
    for one in sorted(show_schedules(work, schedules, flags, at), key=_by_time):
        own[one.schedule.batch_id].append(one)
    return [EffectivePlan(plan, own[plan.id]) for plan in plans]


def _by_time(one: EffectiveSchedule) -> tuple[datetime, str, str, int]:
    return one.schedule.scheduled_at, *_environment_first(one.flag.name), one.schedule.seq


def _start(flags: Iterable[Flag], clock: datetime) -> datetime:
    """When a plan starts that starts now: in the present of all of its flags."""
    # A reader's clock is finer than what is planned.
    return to_milliseconds(max((flag.now(clock) for flag in flags), default=clock))


def _ahead(asked: NewPlan, items: Iterable[PlanItem], start: datetime) -> list[PlanItem]:
    """What has to be in the future: all but what a plan that starts now does at once."""
    return [item for item in items if not (asked.items.starts_now and item.change.scheduled_at == start)]


def _environment_first(name: FlagName) -> tuple[str, str]:
    return name.environment, name.key


def _lock(work: Writing, plan_id: UUID, precondition: Precondition) -> LockedPlan:
    plan = work.plans.lock(plan_id)
    if plan is None:
        raise PlanMissing(plan_id)
    plan.refuse_unless(precondition)
    return lock_flags_of(work, plan)


def _shifted(locked: LockedPlan, shift: Duration, fold: Fold | None, limits: ScheduleLimits) -> list[Change]:
    if not locked.pending:
        raise PlanEnded(locked.plan.id)
    moved = [(one, _moved(locked, one, shift, fold)) for one in locked.pending]
    came_from: dict[tuple[UUID, datetime], datetime] = {}
    for before, after in moved:
        if reason := limits.reason(after.scheduled_at - locked.now(after)):
            raise _shift_refused(locked, after, reason)
        # Those that were at one instant before stay together; local days can bring others to it.
        if came_from.setdefault((after.flag_id, after.scheduled_at), before.scheduled_at) != before.scheduled_at:
            raise _shift_refused(locked, after, "is the instant of another schedule of the plan, too")
    return moved


def _moved(locked: LockedPlan, schedule: Schedule, shift: Duration, fold: Fold | None) -> Schedule:
    try:
        return schedule.shifted(shift, locked.now(schedule), fold)
    except AmbiguousLocalTime as error:
        raise _shift_refused(locked, schedule, f"{error.fact}{FOLD_CHOOSES}") from error
    except ValueError as error:
        raise _shift_refused(locked, schedule, str(error)) from error


def _shift_refused(locked: LockedPlan, schedule: Schedule, reason: str) -> ValidationFailed:
    name = locked.flags[schedule.flag_id].name
    at = rfc3339(schedule.scheduled_at)
    return ValidationFailed({"shift": [f"{at}, for flag {name.key!r} in {name.environment!r}, {reason}"]}, PLAN_KEPT)


def _write(work: Writing, locked: LockedPlan, plan: Plan, changes: Sequence[Change], *, by: Actor) -> EffectivePlan:
    """Write a plan, and the entries for these changes of it: all but the flags, which come last. Return it as it is."""
    work.plans.change(plan)
    work.history.append(
        [
            schedule_entry(locked.flags[after.flag_id], before, after, by=by, recorded_at=locked.clock)
            for before, after in changes
        ]
    )
    changed = {after.id: after for _, after in changes}
    return show_plans(work, [plan], [changed.get(one.id, one) for one in locked.schedules], locked.clock)[0]


def _change_flags(work: Writing, locked: LockedPlan, changes: Sequence[Change]) -> None:
    if changes:
        flags = {after.flag_id: locked.flags[after.flag_id] for _, after in changes}
        change_flags(work, with_next_due(work, flags.values()))
