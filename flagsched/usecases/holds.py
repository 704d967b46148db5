"""Holds: stop what is planned for a flag, for the flags of a plan or for an environment, and let it go on again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from flagsched.domain.errors import (
    EnvironmentMissing,
    FlagMissing,
    HoldMissing,
    PlanEnded,
    PlanMissing,
    TooManyHolds,
    ValidationFailed,
)
from flagsched.domain.flags import Flag, FlagEdit, FlagName
from flagsched.domain.history import Actor, flag_entry, hold_entry, schedule_entry
from flagsched.domain.holds import MAX_HOLDS, AtEnd, Hold, HoldEdit, HoldStatus, NewHold, Release
from flagsched.domain.instants import to_milliseconds
from flagsched.domain.schedules import delayed_from
from flagsched.ports.holds import HoldQuery
from flagsched.ports.pages import Page
from flagsched.ports.store import Reading, Store, Writing
from flagsched.usecases.freezes import refuse_frozen
from flagsched.usecases.idempotency import IdempotentRequest, keep_response, take_key
from flagsched.usecases.locks import (
    lock_current,
    lock_environment,
    lock_existing,
    retry_when_overtaken,
)
from flagsched.usecases.materialise import record
from flagsched.usecases.schedules import change_flags


@dataclass(frozen=True, slots=True)
class EffectiveHold:
    """A hold as a reader sees it at an instant, with the key of its flag, if it is one flag's."""

    hold: Hold
    flag_key: str | None
    status: HoldStatus


@dataclass(frozen=True, slots=True)
class Locked:
    """All flags that holds bear on, locked, with what is in effect recorded; all of an `environment` if that is set."""

    flags: Sequence[Flag]
    clock: datetime
    environment: str | None = None

    @property
    def now(self) -> datetime:
        """The present of all of them."""
        return max([self.clock, *(flag.now(self.clock) for flag in self.flags)])

    @property
    def environments(self) -> set[str]:
        """Where a hold is placed or changed: published, whether or not any flag of it has an agenda."""
        return {flag.name.environment for flag in self.flags} if self.environment is None else {self.environment}

    def flag_of(self, hold: Hold) -> Flag | None:
        """The flag that a hold bears on, if it is one flag's."""
        return next((flag for flag in self.flags if flag.id == hold.flag_id), None)

    def shown(self, hold: Hold) -> EffectiveHold:
        """A hold as it is now."""
        flag = self.flag_of(hold)
        return EffectiveHold(hold, flag.name.key if flag else None, hold.status_at(self.now))


@retry_when_overtaken
def hold_flag(
    name: FlagName,
    asked: NewHold,
    *,
    by: Actor,
    store: Store,
    idempotent: IdempotentRequest[EffectiveHold] | None = None,
) -> EffectiveHold:
    """Stop what is planned for a flag and, with `updates`, edit it in the same transaction.

    Raises FlagMissing, FlagBusy, ValidationFailed, TooManyHolds; with `idempotent` also Replayed, KeyReused,
    KeyInProgress.
    """
    with store.writing() as work:
        take_key(work, idempotent)
        flags, clock = lock_current(work, [name])
        locked = Locked([_edited(work, flags[0], asked, clock, by)], clock)
        (placed,) = _place(work, asked, locked, by=by)
        keep_response(work, idempotent, placed, clock)
        _change(work, locked, also=flags if asked.updates else ())
        work.commit()
    return placed


@retry_when_overtaken
def hold_environment(
    environment: str,
    asked: NewHold,
    *,
    by: Actor,
    store: Store,
    idempotent: IdempotentRequest[EffectiveHold] | None = None,
) -> EffectiveHold:
    """Stop what is planned for all flags of an environment, those that are yet to be created too.

    Raises EnvironmentMissing, FlagBusy, ValidationFailed, TooManyHolds; with `idempotent` as `hold_flag`.
    """
    with store.writing() as work:
        take_key(work, idempotent)
        if not work.flags.exists(environment):
            raise EnvironmentMissing(environment)
        locked = Locked(*lock_environment(work, environment), environment)
        (placed,) = _place(work, asked, locked, by=by)
        keep_response(work, idempotent, placed, locked.clock)
        _change(work, locked)
        work.commit()
    return placed


@retry_when_overtaken
def hold_plan(
    plan_id: UUID,
    asked: NewHold,
    *,
    by: Actor,
    store: Store,
    idempotent: IdempotentRequest[list[EffectiveHold]] | None = None,
) -> list[EffectiveHold]:
    """Stop all that is planned for each flag that something of a plan is ahead for: one hold for each, or none.

    Raises PlanMissing, PlanEnded, FlagBusy, ValidationFailed, TooManyHolds; with `idempotent` as `hold_flag`.
    """
    with store.writing() as work:
        take_key(work, idempotent)
        if work.plans.lock(plan_id) is None:
            raise PlanMissing(plan_id)
        ids = {one.flag_id for one in work.schedules.of_plans([plan_id]) if one.pending}
        flags, clock = lock_existing(work, [], ids)
        ahead = {one.flag_id for one in work.schedules.of_plans([plan_id]) if one.pending}
        locked = Locked([flag for flag in flags.values() if flag.id in ahead], clock)
        if not locked.flags:
            raise PlanEnded(plan_id)
        placed = _place(work, asked, locked, by=by, plan_id=plan_id)
        keep_response(work, idempotent, placed, clock)
        _change(work, locked)
        work.commit()
    return placed


@retry_when_overtaken
def edit_hold(hold_id: UUID, edit: HoldEdit, *, by: Actor, store: Store) -> EffectiveHold:
    """Change a hold that is not over. HoldMissing, HoldOver, FlagBusy, ValidationFailed."""
    with store.writing() as work:
        before, locked = _lock(work, hold_id)
        if edit.ends_at is not None and edit.ends_at <= max(locked.now, before.starts_at):
            raise ValidationFailed({"until": ["must be in the future, and after the hold's beginning"]})
        after = before.edited(edit, locked.now)
        _write(work, before, after, locked, by=by)
        _change(work, locked)
        work.commit()
    return locked.shown(after)


@retry_when_overtaken
def release_hold(hold_id: UUID, how: Release | None = None, *, by: Actor, store: Store) -> EffectiveHold:
    """End a hold now: as it says itself, unless `how` does.

    Raises HoldMissing, HoldOver, FlagBusy; ValidationFailed for a shift of an environment.
    """
    with store.writing() as work:
        before, locked = _lock(work, hold_id)
        after = _release(work, before, how, locked, by=by)
        _change(work, locked)
        work.commit()
    return locked.shown(after)


@retry_when_overtaken
def release_plan(plan_id: UUID, how: Release | None = None, *, by: Actor, store: Store) -> list[EffectiveHold]:
    """End all holds of a plan that are not over. PlanMissing, HoldMissing if there are none, FlagBusy."""
    with store.writing() as work:
        if work.plans.lock(plan_id) is None:
            raise PlanMissing(plan_id)
        ids = {hold.flag_id for hold in work.holds.of_plan(plan_id) if hold.flag_id}
        flags, clock = lock_existing(work, [], ids)
        locked = Locked(list(flags.values()), clock)
        held = [one for one in work.holds.of_plan(plan_id) if not one.is_over(locked.now)]
        if not held:
            raise HoldMissing(plan_id)
        released = [_release(work, one, how, locked, by=by) for one in held]
        _change(work, locked)
        work.commit()
    return [locked.shown(one) for one in released]


def read_hold(hold_id: UUID, *, store: Store) -> EffectiveHold:
    """One hold as it is now; HoldMissing."""
    with store.reading() as work:
        hold = work.holds.find(hold_id)
        if hold is None:
            raise HoldMissing(hold_id)
        return _shown(work, [hold])[0]


def list_holds(query: HoldQuery, flag: FlagName | None = None, *, store: Store) -> Page[EffectiveHold]:
    """Holds by (starts_at, id); those that bear on a `flag`, if one is named: FlagMissing."""
    with store.reading() as work:
        if flag is not None:
            found = work.flags.find(flag)
            if found is None:
                raise FlagMissing(flag.environment, flag.key)
            query = replace(query, environment=flag.environment, flag_id=found.id)
        page = work.holds.page(query, work.at)
        return Page(_shown(work, page.items), page.more)


def _shown(work: Reading, holds: Sequence[Hold]) -> list[EffectiveHold]:
    ids = {hold.flag_id for hold in holds if hold.flag_id}
    flags: Mapping[UUID, Flag] = work.flags.among(ids) if ids else {}
    return [
        EffectiveHold(hold, flags[hold.flag_id].name.key if hold.flag_id else None, hold.status_at(work.at))
        for hold in holds
    ]


def _edited(work: Writing, flag: Flag, asked: NewHold, clock: datetime, by: Actor) -> Flag:
    if asked.updates is None:
        return flag
    # A freeze lets it through: nobody looks for the right parameter at night.
    exemption = refuse_frozen(work, flag, clock, asked.reason)
    edited = flag.edited(FlagEdit(asked.updates), flag.now(clock))
    work.history.append([flag_entry(flag, edited, by=by, recorded_at=clock, exemption=exemption)])
    return edited


def _place(
    work: Writing, asked: NewHold, locked: Locked, *, by: Actor, plan_id: UUID | None = None
) -> list[EffectiveHold]:
    starts_at = to_milliseconds(locked.now) if asked.starts_at is None else asked.starts_at
    if starts_at < locked.now:
        raise ValidationFailed({"from": ["must not be in the past: leave it out for now"]})
    if asked.ends_at is not None and asked.ends_at <= starts_at:
        raise ValidationFailed({"until": ["must be after the hold's beginning"]})
    placed = [
        Hold(
            id=uuid4(),
            environment=environment,
            flag_id=flag_id,
            plan_id=plan_id,
            starts_at=starts_at,
            ends_at=asked.ends_at,
            at_end=asked.at_end,
            reason=asked.reason,
            refuses_edits=asked.refuses_edits,
            created_by=by.name,
            created_at=locked.clock,
            updated_at=locked.clock,
        )
        for environment, flag_id in _scopes(locked)
    ]
    for hold in placed:
        _refuse_more(work, hold, locked)
    work.holds.add(placed)
    work.history.append(
        [hold_entry(None, hold, locked.flag_of(hold), by=by, recorded_at=locked.clock) for hold in placed]
    )
    return [locked.shown(hold) for hold in placed]


def _scopes(locked: Locked) -> list[tuple[str, UUID | None]]:
    if locked.environment is not None:
        return [(locked.environment, None)]
    return [(flag.name.environment, flag.id) for flag in locked.flags]


def _refuse_more(work: Writing, hold: Hold, locked: Locked) -> None:
    if work.holds.count(hold.environment, hold.flag_id, locked.now) >= MAX_HOLDS:
        flag = locked.flag_of(hold)
        raise TooManyHolds(f"flag {flag.name.key!r}" if flag else f"environment {hold.environment!r}", MAX_HOLDS)


def _lock(work: Writing, hold_id: UUID) -> tuple[Hold, Locked]:
    """A hold that is not over, under the locks of all flags that it bears on."""
    hold = work.holds.find(hold_id)
    if hold is None:
        raise HoldMissing(hold_id)
    if hold.flag_id is None:
        locked = Locked(*lock_environment(work, hold.environment), hold.environment)
    else:
        flags, clock = lock_existing(work, [], [hold.flag_id])
        locked = Locked(list(flags.values()), clock)
    hold = work.holds.find(hold_id) or hold
    hold.refuse_if_over(locked.now)
    return hold, locked


def _release(work: Writing, before: Hold, how: Release | None, locked: Locked, *, by: Actor) -> Hold:
    if how is Release.SHIFT and before.flag_id is None:
        raise ValidationFailed({"then": ["must be catchUp or skip, for the hold of an environment"]})
    now = to_milliseconds(locked.now)
    if how is Release.SHIFT and before.starts_at < now:
        _shift(work, before, now, locked, by=by)
    after = before.released(_at_end(before, how), by.name, now)
    _write(work, before, after, locked, by=by)
    return after


def _at_end(hold: Hold, how: Release | None) -> AtEnd:
    match how:
        case None:
            return hold.at_end
        case Release.SKIP:
            return AtEnd.SKIP
        case Release.CATCH_UP | Release.SHIFT:  # After a shift nothing is left that lay in it.
            return AtEnd.CATCH_UP


def _shift(work: Writing, hold: Hold, now: datetime, locked: Locked, *, by: Actor) -> None:
    """Move all that is planned for the flag from the hold's beginning on by the hold's length."""
    flag = locked.flag_of(hold)
    if flag is None:
        return
    moved = delayed_from(work.schedules.pending(flag).schedules, hold.starts_at, now)
    work.schedules.edit([after for _, after in moved])
    work.history.append(
        [schedule_entry(flag, before, after, by=by, recorded_at=locked.clock) for before, after in moved]
    )


def _write(work: Writing, before: Hold, after: Hold, locked: Locked, *, by: Actor) -> None:
    work.holds.change(after)
    work.history.append([hold_entry(before, after, locked.flag_of(after), by=by, recorded_at=locked.clock)])


def _change(work: Writing, locked: Locked, also: Collection[Flag] = ()) -> None:
    """Record what a release has let go, and write when these flags are due next, under the holds as they are now.

    Flags with nothing on their agendas are left as they are, but for those of `also`.
    """
    agendas = work.schedules.due(locked.flags, locked.now) if locked.flags else {}
    must = {flag.id for flag in also}
    changed = {
        flag.id: replace(flag, next_due_at=agendas[flag.id].next_due_at)
        for flag in locked.flags
        if flag.id in must or agendas[flag.id].begins_at is not None
    }
    due = [flag for flag in changed.values() if flag.is_due(locked.clock)]
    changed |= {flag.id: flag for flag in record(work, due, locked.clock)} if due else {}
    change_flags(work, list(changed.values()), locked.environments)
