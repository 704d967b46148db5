"""What an admin does with the plan: single and bulk creation are one path."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from flagsched.domain.errors import ScheduleMissing
from flagsched.domain.flags import FlagName
from flagsched.domain.history import Actor, schedule_entry
from flagsched.domain.schedules import DEFAULT_LIMITS, PlanLimits, PlannedChange, plan_batch, refuse_duplicates
from flagsched.domain.timeline import EffectiveSchedule, effective_schedule
from flagsched.ports import Page, ScheduleQuery, Store
from flagsched.usecases.deciding import decided
from flagsched.usecases.flags import find_flag
from flagsched.usecases.materialise import lock_current


@decided
def plan_schedules(
    name: FlagName,
    changes: Sequence[PlannedChange],
    *,
    batch: bool,
    by: Actor,
    store: Store,
    limits: PlanLimits = DEFAULT_LIMITS,
) -> list[EffectiveSchedule]:
    """Create the schedules for these changes, all or none, and give them in the order asked for.

    `batch` says whether they share a batch id. Raises DuplicateInstants, FlagMissing, FlagBusy, QuotaExceeded,
    InstantsRefused.
    """
    refuse_duplicates(changes)
    with store.writing() as work:
        flag, clock = lock_current(work, name)
        limits.refuse_quota(flag, work.schedules.count_pending(flag), len(changes))
        limits.refuse_instants(changes, flag.now(clock), batch=batch)
        planned = plan_batch(
            flag,
            changes,
            ids=[uuid4() for _ in changes],
            batch_id=uuid4() if batch else None,
            by=by.name,
            at=flag.now(clock),
        )
        work.schedules.add(planned)
        work.history.append([schedule_entry(flag, None, s, by=by, recorded_at=clock) for s in planned])
        flag = flag.numbered(planned[-1].seq)
        revision = work.publish(name.environment, wake_at=min(s.scheduled_at for s in planned))
        work.flags.change(flag, revision=revision)
        work.commit()
    return [effective_schedule(schedule, flag, clock) for schedule in planned]


def list_schedules(name: FlagName, query: ScheduleQuery, *, store: Store) -> Page[EffectiveSchedule]:
    """Schedules of a flag by (scheduled_at, seq); FlagMissing."""
    with store.reading() as work:
        flag = find_flag(work, name)
        page = work.schedules.page(flag, query)
        return Page([effective_schedule(schedule, flag, work.at) for schedule in page.items], page.more)


def read_schedule(name: FlagName, schedule_id: UUID, *, store: Store) -> EffectiveSchedule:
    """One schedule of a flag; FlagMissing, ScheduleMissing."""
    with store.reading() as work:
        flag = find_flag(work, name)
        schedule = work.schedules.find(flag, schedule_id)
        if schedule is None:
            raise ScheduleMissing(schedule_id, name.key)
        return effective_schedule(schedule, flag, work.at)


@decided
def cancel_schedule(name: FlagName, schedule_id: UUID, *, by: Actor, store: Store) -> EffectiveSchedule:
    """Cancel a schedule: if this returns, it will never take effect.

    Raises FlagMissing, ScheduleMissing, FlagBusy, and AlreadyApplied, AlreadyCancelled or AlreadyFailed.
    """
    with store.writing() as work:
        flag, clock = lock_current(work, name)
        before = work.schedules.find(flag, schedule_id)
        if before is None:
            raise ScheduleMissing(schedule_id, name.key)
        if not before.pending:
            work.commit()  # What made it too late is worth keeping.
        before.refuse_unless_pending()
        after = before.cancelled(by.name, flag.now(clock))
        work.schedules.end([after])
        work.history.append([schedule_entry(flag, before, after, by=by, recorded_at=clock)])
        work.flags.change(flag, revision=work.publish(name.environment))
        work.commit()
    return effective_schedule(after, flag, clock)
