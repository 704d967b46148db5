"""What an admin does with schedules: single and bulk creation are one path."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from uuid import UUID, uuid4

from flagsched.domain.effective import NOTHING_DUE, EffectiveSchedule, effective_schedules
from flagsched.domain.errors import BULK_REFUSED, ScheduleMissing
from flagsched.domain.flags import Flag, FlagName
from flagsched.domain.history import Actor, schedule_entry
from flagsched.domain.limits import DEFAULT_LIMITS, ScheduleLimits
from flagsched.domain.schedules import (
    PlannedChange,
    Schedule,
    ScheduleEdit,
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
from flagsched.usecases.overrides import refuse_more_overrides


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
    refuse_duplicates(changes)
    with store.writing() as work:
        take_key(work, idempotent)
        (flag,), clock = lock_current(work, [name])
        if limits.may_exceed_quota(flag, len(changes)):
            limits.refuse_quota(flag, work.schedules.count_pending(flag), len(changes))
        _refuse_overrides(work, flag, changes)
        instants = [change.scheduled_at for change in changes]
        limits.refuse_instants(instants, flag.now(clock), BULK_REFUSED if batch else None)
        planned = number_schedules(
            flag,
            changes,
            ids=[uuid4() for _ in changes],
            batch_id=uuid4() if batch else None,
            by=by.name,
            at=flag.now(clock),
        )
        work.schedules.add(planned)
        work.history.append([schedule_entry(flag, None, one, by=by, recorded_at=clock) for one in planned])
        created = effective_schedules(planned, flag, clock)
        keep_response(work, idempotent, created, clock)
        first_at = min(instants)
        revisions = work.publish({name.environment: first_at})
        work.flags.change([flag.with_schedules(planned[-1].seq, first_at)], revisions)
        work.commit()
    return created


def list_schedules(name: FlagName, query: ScheduleQuery, *, store: Store) -> Page[EffectiveSchedule]:
    """Schedules of a flag by (scheduled_at, seq); FlagMissing."""
    with store.reading() as work:
        flag = find_flag(work, name)
        page = work.schedules.page(flag, query)
        return Page(_effective(work, page.items, {flag.id: flag}), page.more)


def list_environment_schedules(query: EnvironmentScheduleQuery, *, store: Store) -> Page[EffectiveSchedule]:
    """Schedules of all flags of an environment by (scheduled_at, flag id, seq)."""
    with store.reading() as work:
        page = work.schedules.page_of_environment(query)
        flags = work.flags.among({schedule.flag_id for schedule in page.items})
        shown = {one.schedule.id: one for one in _effective(work, page.items, flags)}
        return Page([shown[schedule.id] for schedule in page.items], page.more)


def read_schedule(name: FlagName, schedule_id: UUID, *, store: Store) -> EffectiveSchedule:
    """One schedule of a flag; FlagMissing, ScheduleMissing."""
    with store.reading() as work:
        flag = find_flag(work, name)
        return _effective(work, [_find(work, flag, schedule_id)], {flag.id: flag})[0]


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

    Raises FlagMissing, ScheduleMissing, FlagBusy, AlreadyApplied, AlreadyCancelled, AlreadyFailed, TooManyOverrides,
    InstantsRefused.
    """
    with store.writing() as work:
        flag, before, clock = _lock_pending(work, name, schedule_id)
        after = before.edited(edit, flag.now(clock))
        if edit.updates is not None:
            _refuse_overrides(work, flag, [after])
        if edit.scheduled_at is not None:
            limits.refuse_instants([edit.scheduled_at], flag.now(clock), None)
        work.schedules.edit(after)
        _change_agenda(work, flag, before, after, by=by, clock=clock)
    return effective_schedules([after], flag, clock)[0]


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
    return effective_schedules([after], flag, clock)[0]


def _refuse_overrides(work: Writing, flag: Flag, asked: Sequence[PlannedChange] | Sequence[Schedule]) -> None:
    """Raise TooManyOverrides if these set too many users apart, with those whom the agenda sets apart without them."""
    if users := set_apart(asked):
        edited = {one.seq for one in asked if isinstance(one, Schedule)}
        others = [one for one in work.schedules.agendas([flag])[flag.id].schedules if one.seq not in edited]
        refuse_more_overrides(work.overrides, flag, users | set_apart(others))


def _change_agenda(work: Writing, flag: Flag, before: Schedule, after: Schedule, *, by: Actor, clock: datetime) -> None:
    """Record what an admin has done with one schedule, and commit."""
    work.history.append([schedule_entry(flag, before, after, by=by, recorded_at=clock)])
    agenda = work.schedules.agendas([flag])[flag.id]
    wake_at = after.scheduled_at if after.pending else None
    revisions = work.publish({flag.name.environment: wake_at})
    work.flags.change([replace(flag, next_due_at=agenda.next_due_at)], revisions)
    work.commit()


def _effective(work: Reading, schedules: Sequence[Schedule], flags: Mapping[UUID, Flag]) -> list[EffectiveSchedule]:
    """What a reader sees of schedules, flag by flag; `flags` are theirs, by id."""
    own: dict[UUID, list[Schedule]] = defaultdict(list)
    for schedule in schedules:
        own[schedule.flag_id].append(schedule)
    # Nearly always all that is due is recorded, and no query is needed.
    late = [flags[id_] for id_ in own if any(one.pending and one.is_due(flags[id_].now(work.at)) for one in own[id_])]
    due = work.schedules.due(late, max(flag.now(work.at) for flag in late)) if late else {}
    shown = (effective_schedules(own[id_], flags[id_], work.at, due.get(id_, NOTHING_DUE)) for id_ in own)
    return list(chain.from_iterable(shown))


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
