"""What an admin does with schedules: single and bulk creation, and that of plans, are one path."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from uuid import UUID, uuid4

from flagsched.domain.agenda import Agenda
from flagsched.domain.effective import NOTHING_DUE, EffectiveSchedule, effective_schedules
from flagsched.domain.errors import BULK_REFUSED, NOT_VALID, ScheduleMissing, ValidationFailed
from flagsched.domain.flags import Flag, FlagName
from flagsched.domain.history import Actor, schedule_entry
from flagsched.domain.holds import Hold, takes_effect_at
from flagsched.domain.limits import DEFAULT_LIMITS, ScheduleLimits
from flagsched.domain.plans import ListedChanges, NewPlan
from flagsched.domain.schedules import (
    PendingSchedule,
    PlanItem,
    PlannedChange,
    Schedule,
    ScheduleEdit,
    items_of_batch,
    number_schedules,
    refuse_duplicates,
    set_apart,
)
from flagsched.ports.pages import Page
from flagsched.ports.schedules import EnvironmentScheduleQuery, ScheduleQuery
from flagsched.ports.store import Reading, Store, Writing
from flagsched.usecases.flags import find_flag
from flagsched.usecases.idempotency import IdempotentRequest, keep_response, take_key
from flagsched.usecases.locks import lock_current, retry_when_overtaken
from flagsched.usecases.overrides import refuse_planned_overrides


@dataclass(frozen=True, slots=True)
class AddedSchedules:
    """New schedules in the order asked for, their flags with more on their agendas, and the holds that bear on them."""

    schedules: Sequence[Schedule]
    flags: dict[FlagName, Flag]
    holds: Mapping[UUID, tuple[Hold, ...]]


@retry_when_overtaken
def plan_schedules(
    name: FlagName,
    changes: Sequence[PlannedChange],
    *,
    batch: bool,
    by: Actor,
    store: Store,
    limits: ScheduleLimits = DEFAULT_LIMITS,
    idempotent: IdempotentRequest[list[EffectiveSchedule]] | None = None,
) -> list[EffectiveSchedule]:
    """Create the schedules for these changes, all or none, and give them in the order asked for.

    `batch` says whether they share a batch id. Raises DuplicateInstants, FlagMissing, FlagBusy, QuotaExceeded,
    TooManyOverrides, InstantsRefused; with `idempotent`, Replayed, KeyReused, KeyInProgress.
    """
    items = items_of_batch(name, changes) if batch else [PlanItem(name, changes[0], (changes[0].says_when,))]
    refuse_duplicates(items)
    with store.writing() as work:
        take_key(work, idempotent)
        (flag,), clock = lock_current(work, [name])
        refuse_quotas(work, items, {name: flag}, limits)
        limits.refuse_instants(items, lambda _: flag.now(clock), BULK_REFUSED if batch else NOT_VALID)
        plan_id = None
        if batch:
            plan = NewPlan(ListedChanges(items)).made(uuid4(), by.name, flag.now(clock))
            work.plans.add(plan)
            plan_id = plan.id
        added = add_schedules(work, items, {name: flag}, clock, plan_id=plan_id, by=by)
        created = effective_schedules(added.schedules, flag, clock, Agenda(holds=added.holds.get(flag.id, ())))
        keep_response(work, idempotent, created, clock)
        change_flags(work, added.flags.values())
        work.commit()
    return created


def by_flag(items: Iterable[PlanItem]) -> dict[FlagName, list[PlanItem]]:
    """These changes by the flag that they are of, in order."""
    own: dict[FlagName, list[PlanItem]] = defaultdict(list)
    for item in items:
        own[item.name].append(item)
    return own


def refuse_quotas(
    work: Writing, items: Iterable[PlanItem], flags: Mapping[FlagName, Flag], limits: ScheduleLimits
) -> None:
    """Raise QuotaExceeded or TooManyOverrides if a flag would have more of either than it may."""
    for name, asked in by_flag(items).items():
        flag, changes = flags[name], [item.change for item in asked]
        if limits.may_exceed_quota(flag, len(changes)):
            limits.refuse_quota(flag, work.schedules.count_pending(flag), len(changes))
        if set_apart(changes):
            refuse_planned_overrides(work.overrides, flag, changes, work.schedules.agendas([flag])[flag.id].schedules)


def add_schedules(
    work: Writing,
    items: Sequence[PlanItem],
    flags: Mapping[FlagName, Flag],
    clock: datetime,
    *,
    plan_id: UUID | None,
    by: Actor,
    undoes: int | None = None,
) -> AddedSchedules:
    """Insert the schedules for these changes of locked flags, with their entries of the history."""
    own = by_flag(items)
    made = {
        name: iter(
            number_schedules(
                flags[name],
                [item.change for item in asked],
                ids=[uuid4() for _ in asked],
                batch_id=plan_id,
                by=by.name,
                at=flags[name].now(clock),
            )
        )
        for name, asked in own.items()
    }
    planned = [next(made[item.name]) for item in items]
    work.schedules.add(planned)
    work.history.append(
        [
            schedule_entry(flags[item.name], None, schedule, by=by, recorded_at=clock, undoes=undoes)
            for item, schedule in zip(items, planned, strict=True)
        ]
    )
    if not own:
        return AddedSchedules([], {}, {})
    first_at = {name: min(item.change.scheduled_at for item in asked) for name, asked in own.items()}
    holds = work.holds.bearing_on([flags[name] for name in own], min(first_at.values()))
    changed = {
        name: flags[name].with_schedules(
            flags[name].last_seq + len(asked), takes_effect_at(first_at[name], holds.get(flags[name].id, ()))
        )
        for name, asked in own.items()
    }
    return AddedSchedules(planned, changed, holds)


def change_flags(work: Writing, changed: Collection[Flag], environments: Iterable[str] = ()) -> None:
    """Write flags whose agendas have changed, and publish that: the last statements of a transaction.

    `environments` are published too, whether or not a flag of theirs has changed.
    """
    wake_at: dict[str, datetime | None] = dict.fromkeys(environments)
    for flag in changed:
        instants = (at for at in (wake_at.get(flag.name.environment), flag.next_due_at) if at is not None)
        wake_at[flag.name.environment] = min(instants, default=None)
    revisions = work.publish(wake_at)
    if changed:
        work.flags.change(list(changed), revisions)


def with_next_due(work: Writing, flags: Collection[Flag]) -> list[Flag]:
    """These flags with the first instant of their agendas as they stand now."""
    agendas = work.schedules.agendas(flags)
    return [replace(flag, next_due_at=agendas[flag.id].next_due_at) for flag in flags]


def list_schedules(name: FlagName, query: ScheduleQuery, *, store: Store) -> Page[EffectiveSchedule]:
    """Schedules of a flag by (scheduled_at, seq); FlagMissing."""
    with store.reading() as work:
        flag = find_flag(work, name)
        page = work.schedules.page(flag, query)
        return Page(show_schedules(work, page.items, {flag.id: flag}, work.at), page.more)


def list_environment_schedules(query: EnvironmentScheduleQuery, *, store: Store) -> Page[EffectiveSchedule]:
    """Schedules of all flags of an environment by (scheduled_at, flag id, seq)."""
    with store.reading() as work:
        page = work.schedules.page_of_environment(query)
        flags = work.flags.among({schedule.flag_id for schedule in page.items})
        shown = {one.schedule.id: one for one in show_schedules(work, page.items, flags, work.at)}
        return Page([shown[schedule.id] for schedule in page.items], page.more)


def read_schedule(name: FlagName, schedule_id: UUID, *, store: Store) -> EffectiveSchedule:
    """One schedule of a flag; FlagMissing, ScheduleMissing."""
    with store.reading() as work:
        flag = find_flag(work, name)
        return show_schedules(work, [_find(work, flag, schedule_id)], {flag.id: flag}, work.at)[0]


@retry_when_overtaken
def edit_schedule(
    name: FlagName,
    schedule_id: UUID,
    edit: ScheduleEdit,
    *,
    by: Actor,
    store: Store,
    limits: ScheduleLimits = DEFAULT_LIMITS,
) -> EffectiveSchedule:
    """Give a schedule another instant, something else to set, or both: if this returns, it takes effect only so.

    Raises FlagMissing, ScheduleMissing, FlagBusy, AlreadyApplied, AlreadyCancelled, AlreadyFailed, AlreadySkipped,
    TooManyOverrides, InstantsRefused; ValidationFailed for a condition of what can't be read.
    """
    with store.writing() as work:
        flag, before, clock = _lock_pending(work, name, schedule_id)
        try:
            after = before.edited(edit, flag, flag.now(clock))
        except ValueError as error:
            raise ValidationFailed({"onlyIf": [str(error)]}) from error
        if edit.updates is not None:
            refuse_edited_override(work, flag, after)
        if edit.scheduled_at is not None:
            limits.refuse_instant(edit.scheduled_at, flag.now(clock), (edit.says_when,))
        work.schedules.edit([after])
        edited = show_schedules(work, [after], {flag.id: flag}, clock)[0]
        _change_agenda(work, flag, before, after, by=by, clock=clock)
        work.commit()
    return edited


@retry_when_overtaken
def cancel_schedule(name: FlagName, schedule_id: UUID, *, by: Actor, store: Store) -> EffectiveSchedule:
    """Cancel a schedule: if this returns, it will never take effect.

    Raises FlagMissing, ScheduleMissing, FlagBusy, and AlreadyApplied, AlreadyCancelled or AlreadyFailed.
    """
    with store.writing() as work:
        flag, before, clock = _lock_pending(work, name, schedule_id)
        after = before.cancelled(by.name, flag.now(clock))
        work.schedules.cancel([after])
        _change_agenda(work, flag, before, after, by=by, clock=clock)
        work.commit()
    return effective_schedules([after], flag, clock)[0]


def refuse_edited_override(work: Writing, flag: Flag, edited: Schedule) -> None:
    """Raise TooManyOverrides if a flag would have too many once one of its schedules is edited so."""
    others = [one for one in work.schedules.agendas([flag])[flag.id].schedules if one.seq != edited.seq]
    refuse_planned_overrides(work.overrides, flag, [edited], others)


def _change_agenda(work: Writing, flag: Flag, before: Schedule, after: Schedule, *, by: Actor, clock: datetime) -> None:
    work.history.append([schedule_entry(flag, before, after, by=by, recorded_at=clock)])
    change_flags(work, with_next_due(work, [flag]))


def show_schedules(
    work: Reading | Writing, schedules: Sequence[Schedule], flags: Mapping[UUID, Flag], at: datetime
) -> list[EffectiveSchedule]:
    """What a reader sees of schedules at `at`, flag by flag; `flags` are theirs, by id."""
    own: dict[UUID, list[Schedule]] = defaultdict(list)
    for schedule in schedules:
        own[schedule.flag_id].append(schedule)
    agendas = _due(work, own, flags, at)
    shown = (effective_schedules(own[id_], flags[id_], at, agendas.get(id_, NOTHING_DUE)) for id_ in own)
    return list(chain.from_iterable(shown))


def _due(
    work: Reading | Writing, own: Mapping[UUID, Sequence[Schedule]], flags: Mapping[UUID, Flag], at: datetime
) -> Mapping[UUID, Agenda[PendingSchedule]]:
    """What is due at `at` of the flags of these schedules, and all holds that bear on those that are pending."""
    first_at = {
        id_: min(instants)
        for id_, schedules in own.items()
        if (instants := [one.scheduled_at for one in schedules if one.pending])
    }
    if not first_at:
        return {}
    holds = work.holds.bearing_on([flags[id_] for id_ in first_at], min(first_at.values()))
    # Nearly always all that is due is recorded, and no query is needed.
    late = [flags[id_] for id_, first in first_at.items() if first <= flags[id_].now(at)]
    due = work.schedules.due(late, max(flag.now(at) for flag in late)) if late else {}
    return {**{id_: Agenda(holds=some) for id_, some in holds.items()}, **due}


def _lock_pending(work: Writing, name: FlagName, schedule_id: UUID) -> tuple[Flag, Schedule, datetime]:
    (flag,), clock = lock_current(work, [name])
    schedule = _find(work, flag, schedule_id)
    if not schedule.pending:
        work.commit()  # What made it too late is worth keeping.
    schedule.refuse_unless_pending()
    return flag, schedule, clock


def _find(work: Reading | Writing, flag: Flag, schedule_id: UUID) -> Schedule:
    schedule = work.schedules.find(flag, schedule_id)
    if schedule is None:
        raise ScheduleMissing(schedule_id, flag.name.key)
    return schedule
