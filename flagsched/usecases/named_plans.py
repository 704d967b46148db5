"""Plans with a name, as a file has them: made to be what is asked for, however often it is asked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from flagsched.domain.effective import EffectiveSchedule
from flagsched.domain.errors import PLAN_KEPT, InstantsRefused, Overtaken, PlanExists, PlanTooLong
from flagsched.domain.flags import Flag, FlagName
from flagsched.domain.history import Actor, schedule_entry
from flagsched.domain.instants import rfc3339
from flagsched.domain.limits import DEFAULT_LIMITS, ScheduleLimits
from flagsched.domain.plans import MAX_SCHEDULES, EffectivePlan, NewPlan, PlanEdit
from flagsched.domain.schedules import PlanItem, Schedule, Status
from flagsched.ports.store import Store, Writing
from flagsched.usecases.locks import retry_when_overtaken
from flagsched.usecases.plans import Change, LockedPlan, add_plan, lock_flags_of, refuse_items, show_plans
from flagsched.usecases.schedules import add_schedules, change_flags, refuse_quotas, with_next_due


@dataclass(frozen=True, slots=True)
class AppliedPlan:
    """What a named plan has become, or would become: what was added, cancelled, and left as it was."""

    plan: EffectivePlan
    created: bool
    added: Sequence[EffectiveSchedule]
    cancelled: Sequence[EffectiveSchedule]
    kept: Sequence[EffectiveSchedule]
    edited: bool = False

    @property
    def changed(self) -> bool:
        """Does it differ from what was there?"""
        return bool(self.created or self.edited or self.added or self.cancelled)


@retry_when_overtaken
def apply_plan(
    asked: NewPlan, *, dry_run: bool, by: Actor, store: Store, limits: ScheduleLimits = DEFAULT_LIMITS
) -> AppliedPlan:
    """Make the plan of this name be what is asked for: create it, or add what is missing and cancel what is too much.

    What is in effect is left; with `dry_run` all is. Raises ValidationFailed, FlagsMissing, FlagBusy, QuotaExceeded,
    PlanTooLong.
    """
    with store.writing() as work:
        plan = work.plans.lock_named(str(asked.name))
        if plan is None:
            applied = _create(work, asked, by=by, limits=limits)
        else:
            applied = _adjust(work, lock_flags_of(work, plan, asked.items.names), asked, by=by, limits=limits)
        if applied.changed and not dry_run:
            work.commit()
    return applied


def _create(work: Writing, asked: NewPlan, *, by: Actor, limits: ScheduleLimits) -> AppliedPlan:
    try:
        created, changed = add_plan(work, asked, by=by, limits=limits)
    except PlanExists as error:
        # By another request, since this one looked.
        raise Overtaken(str(error)) from error
    change_flags(work, changed)
    return AppliedPlan(created.plan, created=True, added=created.schedules, cancelled=[], kept=[])


@dataclass(frozen=True, slots=True)
class Difference:
    """What is to be done to a plan, and what is left as it is."""

    missing: Sequence[PlanItem]
    cancelled: Sequence[Change]
    kept: Sequence[Schedule]
    edited: bool


def _adjust(work: Writing, locked: LockedPlan, asked: NewPlan, *, by: Actor, limits: ScheduleLimits) -> AppliedPlan:
    flags = {flag.name: flag for flag in locked.flags.values()}
    difference = _difference(locked, asked, by)
    work.schedules.cancel([after for _, after in difference.cancelled])
    refuse_quotas(work, difference.missing, flags, limits)
    _refuse_what_has_passed(difference.missing, flags, locked.clock)
    limits.refuse_instants(difference.missing, lambda name: flags[name].now(locked.clock), PLAN_KEPT)
    if len(locked.schedules) + len(difference.missing) > MAX_SCHEDULES:
        raise PlanTooLong(locked.plan.id, MAX_SCHEDULES)
    return _write(work, locked, asked, difference, by=by)


def _refuse_what_has_passed(missing: Iterable[PlanItem], flags: Mapping[FlagName, Flag], clock: datetime) -> None:
    reasons = {
        item.path: f"{rfc3339(item.change.scheduled_at)} has passed, and flag {item.name.key!r} in "
        f"{item.name.environment!r} was not changed then by this plan as it is asked for now"
        for item in missing
        if item.change.scheduled_at <= flags[item.name].now(clock)
    }
    if reasons:
        raise InstantsRefused(reasons, PLAN_KEPT)


def _difference(locked: LockedPlan, asked: NewPlan, by: Actor) -> Difference:
    flags = {flag.name: flag for flag in locked.flags.values()}
    items = asked.items.starting(locked.plan.created_at)
    refuse_items(items, flags)
    wanted: dict[tuple[UUID, datetime, object], PlanItem] = {
        (flags[item.name].id, item.change.scheduled_at, item.change.updates): item for item in items
    }
    kept: list[Schedule] = []
    cancelled: list[Change] = []
    for one in locked.schedules:
        same = (one.flag_id, one.scheduled_at, one.updates)
        if one.status is not Status.CANCELLED and same in wanted:
            kept.append(one)
            del wanted[same]
        elif one.pending:
            cancelled.append((one, one.cancelled(by.name, locked.now(one))))
    edited = (asked.title, asked.description) != (locked.plan.title, locked.plan.description)
    return Difference(list(wanted.values()), cancelled, kept, edited)


def _write(work: Writing, locked: LockedPlan, asked: NewPlan, difference: Difference, *, by: Actor) -> AppliedPlan:
    flags = {flag.name: flag for flag in locked.flags.values()}
    ended = [after for _, after in difference.cancelled]
    work.history.append(
        [
            schedule_entry(locked.flags[after.flag_id], before, after, by=by, recorded_at=locked.clock)
            for before, after in difference.cancelled
        ]
    )
    grown = add_schedules(work, difference.missing, flags, locked.clock, plan_id=locked.plan.id, by=by)
    added, plan = grown.schedules, locked.plan
    if ended or added or difference.edited:
        plan = plan.edited(PlanEdit(asked.title, asked.description), locked.clock)
        work.plans.change(plan)
    known: dict[UUID, Schedule] = {one.id: one for one in (*locked.schedules, *ended, *added)}
    shown = show_plans(work, [plan], list(known.values()), locked.clock)[0]
    changed = {one.flag_id: locked.flags[one.flag_id] for one in ended}
    changed |= {flag.id: flag for flag in grown.flags.values()}
    change_flags(work, with_next_due(work, changed.values()))
    by_id = {one.schedule.id: one for one in shown.schedules}
    return AppliedPlan(
        shown,
        created=False,
        added=[by_id[one.id] for one in added],
        cancelled=[by_id[one.id] for one in ended],
        kept=[by_id[one.id] for one in difference.kept],
        edited=difference.edited,
    )
