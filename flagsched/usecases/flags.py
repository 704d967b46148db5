"""What an admin does with flags. Every answer shows them as `timeline` says they are now."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from flagsched.domain.effective import NOTHING_DUE, EffectiveFlag, effective_flag
from flagsched.domain.errors import FlagMissing
from flagsched.domain.flags import ANY_VERSION, Flag, FlagEdit, FlagName, NewFlag, Precondition
from flagsched.domain.history import Actor, Entry, flag_entry, hold_entry, schedule_entry
from flagsched.domain.holds import Hold
from flagsched.ports.flags import FlagQuery
from flagsched.ports.pages import Page
from flagsched.ports.store import Reading, Store, Writing
from flagsched.usecases.freezes import refuse_frozen
from flagsched.usecases.idempotency import IdempotentRequest, keep_response, take_key
from flagsched.usecases.locks import lock_current, retry_when_overtaken


def create_flag(
    asked: NewFlag, *, by: Actor, store: Store, idempotent: IdempotentRequest[EffectiveFlag] | None = None
) -> EffectiveFlag:
    """Create a flag; FlagExists. With `idempotent` also Replayed, KeyReused, KeyInProgress."""
    with store.writing() as work:
        take_key(work, idempotent)
        clock = work.now()
        flag = asked.born(uuid4(), clock)
        work.flags.add(flag)  # Before the environment, as locks are taken; so its revision is written afterwards.
        work.history.append([flag_entry(None, flag, by=by, recorded_at=clock)])
        created = effective_flag(flag, NOTHING_DUE, clock, work.holds.bearing_on([flag], clock).get(flag.id, ()))
        keep_response(work, idempotent, created, clock)
        work.flags.change([flag], work.publish({flag.name.environment: None}))
        work.commit()
    return created


def list_flags(query: FlagQuery, *, store: Store) -> Page[EffectiveFlag]:
    """Flags by key, as they are now."""
    with store.reading() as work:
        page = work.flags.page(query)
        return Page(_effective(work, page.items), page.more)


def read_flag(name: FlagName, *, store: Store) -> EffectiveFlag:
    """One flag as it is now; FlagMissing."""
    with store.reading() as work:
        return _effective(work, [find_flag(work, name)])[0]


@retry_when_overtaken
def edit_flag(
    name: FlagName,
    edit: FlagEdit,
    *,
    by: Actor,
    store: Store,
    precondition: Precondition = ANY_VERSION,
    override: str | None = None,
) -> EffectiveFlag:
    """Change a flag at once; its agenda stays. `override` is why, where a hold refuses edits.

    Raises FlagMissing, FlagBusy, FlagChanged, Frozen.
    """
    with store.writing() as work:
        (before,), clock = lock_current(work, [name])
        precondition.check(before)
        exemption = refuse_frozen(work, before, clock, override)
        after = before.edited(edit, before.now(clock))
        work.history.append([flag_entry(before, after, by=by, recorded_at=clock, exemption=exemption)])
        agenda = work.schedules.agendas([after])[after.id]
        after = replace(after, next_due_at=agenda.next_due_at)  # Whatever the row said, if a hand has changed it.
        work.flags.change([after], work.publish({name.environment: None}))
        edited = effective_flag(after, agenda, clock, work.holds.bearing_on([after], clock).get(after.id, ()))
        work.commit()
    return edited


@retry_when_overtaken
def archive_flag(
    name: FlagName,
    *,
    by: Actor,
    store: Store,
    precondition: Precondition = ANY_VERSION,
    override: str | None = None,
) -> None:
    """End a flag with its holds, and cancel what is planned for it. `override` is why, where a hold refuses edits.

    Raises FlagMissing, FlagBusy, FlagChanged, Frozen.
    """
    with store.writing() as work:
        (before,), clock = lock_current(work, [name])
        precondition.check(before)
        exemption = refuse_frozen(work, before, clock, override)
        after, entries = end_flag(work, before, clock, by)
        work.history.append([*entries, flag_entry(before, after, by=by, recorded_at=clock, exemption=exemption)])
        work.flags.change([after], work.publish({name.environment: None}))
        work.commit()


def end_flag(work: Writing, before: Flag, clock: datetime, by: Actor) -> tuple[Flag, list[Entry]]:
    """End the agenda and the holds of a locked flag; returns the archived flag, and the entries for these endings."""
    now = before.now(clock)
    planned = work.schedules.pending(before).schedules
    cancelled = [schedule.cancelled(by.name, now) for schedule in planned]
    work.schedules.cancel(cancelled)
    endings = [
        schedule_entry(before, was, ended, by=by, recorded_at=clock)
        for was, ended in zip(planned, cancelled, strict=True)
    ]
    endings += [_end_hold(work, hold, before, clock, by) for hold in _own_holds(work, before, now)]
    return before.archived(now), endings


def _own_holds(work: Writing, flag: Flag, now: datetime) -> list[Hold]:
    bearing = work.holds.bearing_on([flag], now).get(flag.id, ())
    return [hold for hold in bearing if hold.flag_id == flag.id and not hold.is_over(now)]


def _end_hold(work: Writing, hold: Hold, flag: Flag, clock: datetime, by: Actor) -> Entry:
    released = hold.released(hold.at_end, by.name, flag.now(clock))
    work.holds.change(released)
    return hold_entry(hold, released, flag, by=by, recorded_at=clock)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All environments by name, and the clock that they share."""

    environments: Sequence[str]
    at: datetime


def read_surroundings(*, store: Store) -> Surroundings:
    """The environments that there are, and what the clock says now."""
    with store.reading() as work:
        return Surroundings(work.doctor.environments(), work.at)


def find_flag(work: Reading, name: FlagName) -> Flag:
    """The flag of that name as last written; FlagMissing."""
    flag = work.flags.find(name)
    if flag is None:
        raise FlagMissing(name.environment, name.key)
    return flag


def _effective(work: Reading, flags: Sequence[Flag]) -> list[EffectiveFlag]:
    agendas, holds = work.schedules.agendas(flags), work.holds.bearing_on(flags, work.at)
    return [effective_flag(flag, agendas[flag.id], work.at, holds.get(flag.id, ())) for flag in flags]
