"""Undo: set back what an entry of the history changed, or what a plan did, unless that was changed since."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self
from uuid import UUID

from flagsched.domain.conditions import Condition, read_condition
from flagsched.domain.errors import ChangedSince, EntryMissing, FlagExists, NothingToUndo, PlanMissing
from flagsched.domain.flags import Flag, FlagEdit, FlagName
from flagsched.domain.history import (
    Action,
    Actor,
    Entry,
    Exemption,
    StoredEntry,
    document_of,
    flag_entry,
    override_entry,
    schedule_entry,
)
from flagsched.domain.limits import DEFAULT_LIMITS, ScheduleLimits
from flagsched.domain.local_times import LocalTime
from flagsched.domain.overrides import SETS, NewOverride
from flagsched.domain.plans import EffectivePlan
from flagsched.domain.schedules import PlanItem, PlannedChange, Schedule, ScheduleEdit, Status, set_apart
from flagsched.domain.undo import SCHEDULED, SET, SETTINGS, Undoing, UserUndoing, Values, differences, set_of
from flagsched.domain.updates import FIELDS, Change, UnreadableUpdates, Updates, read_updates
from flagsched.ports.store import Store, Writing
from flagsched.usecases.flags import end_flag
from flagsched.usecases.freezes import refuse_frozen
from flagsched.usecases.idempotency import IdempotentRequest, keep_response, take_key
from flagsched.usecases.locks import lock_current, lock_existing, retry_when_overtaken
from flagsched.usecases.overrides import refuse_more_overrides
from flagsched.usecases.plans import show_plans
from flagsched.usecases.schedules import (
    add_schedules,
    change_flags,
    refuse_edited_override,
    refuse_quotas,
    with_next_due,
)

PASSED = "the instant that it had has passed"
UNREADABLE = "what the entry tells can't be read"
UNREADABLE_NOW = "what the schedule sets can't be read by now"
WITHOUT_UNDO = {
    Action.FLAG_CREATED: "archive the flag to take its creation back",
    Action.HOLD_PLACED: "release the hold",
    Action.HOLD_UPDATED: "edit the hold",
    Action.HOLD_RELEASED: "place another hold",
    Action.SCHEDULE_FAILED: "the schedule changed nothing",
    Action.SCHEDULE_SKIPPED: "the schedule changed nothing",
}


@dataclass(frozen=True, slots=True)
class Undo:
    """An undo on one flag, under its lock, with what is in effect recorded; `undoes` is the entry's number."""

    work: Writing
    flag: Flag
    clock: datetime
    undoes: int
    by: Actor
    force: bool
    override: str | None
    limits: ScheduleLimits = DEFAULT_LIMITS
    made: list[StoredEntry] = field(default_factory=list)
    """The entries that it has made so far, without those of what ends with a flag."""

    @property
    def now(self) -> datetime:
        """The present of the flag."""
        return self.flag.now(self.clock)

    def exempt(self) -> Exemption | None:
        """Raise Frozen, unless there is a reason to edit the flag in a freeze; returns that, if there is one."""
        return refuse_frozen(self.work, self.flag, self.clock, self.override)

    def change_flag(self, after: Flag, exemption: Exemption | None) -> Flag:
        """Record that the flag is so from now on."""
        self._append(
            flag_entry(self.flag, after, by=self.by, recorded_at=self.clock, exemption=exemption, undoes=self.undoes)
        )
        return after

    def set_user_back(self, user: UserUndoing) -> None:
        """Set a user's override back. ChangedSince, NothingToUndo, Frozen, TooManyOverrides."""
        overrides = self.work.overrides
        before = overrides.find(self.flag, user.user_id)
        kind = SETS[user.undoing.back(set_of(before), force=self.force)[SET]]
        exemption = self.exempt()
        after = None
        if kind is not None:
            if before is None:
                planned = self.work.schedules.agendas([self.flag])[self.flag.id].schedules
                refuse_more_overrides(overrides, self.flag, {user.user_id} | set_apart(planned))
            after = NewOverride(user.user_id, kind, user.reason).made(self.flag.id, self.by.name, self.now)
            overrides.put(after)
        elif before is not None:
            overrides.remove(before)
        self._append(
            override_entry(
                self.flag,
                before,
                after,
                by=self.by,
                recorded_at=self.clock,
                exemption=exemption,
                undoes=self.undoes,
            )
        )

    def change_schedule(self, before: Schedule, after: Schedule) -> None:
        """Record that a schedule is so from now on."""
        self._append(schedule_entry(self.flag, before, after, by=self.by, recorded_at=self.clock, undoes=self.undoes))

    def _append(self, entry: Entry) -> None:
        self.made.append(self.work.history.append_one(entry))


@retry_when_overtaken
def undo_entry(
    name: FlagName,
    entry_id: int,
    *,
    by: Actor,
    store: Store,
    force: bool = False,
    override: str | None = None,
    limits: ScheduleLimits = DEFAULT_LIMITS,
    idempotent: IdempotentRequest[StoredEntry] | None = None,
) -> StoredEntry:
    """Set back what an entry of a flag changed, if nobody has changed that since, or with `force`.

    Returns the entry of the history that this makes. Raises FlagMissing, EntryMissing, NothingToUndo, ChangedSince,
    FlagBusy, Frozen; FlagExists if the key of an archived flag is taken; AlreadyApplied and its siblings,
    QuotaExceeded, TooManyOverrides and InstantsRefused as for the change that the undo is; with `idempotent` also
    Replayed, KeyReused, KeyInProgress.
    """
    with store.writing() as work:
        take_key(work, idempotent)
        entry = work.history.find(entry_id)
        if entry is None or entry.name != name:
            raise EntryMissing(entry_id, name.key)
        if entry.action in WITHOUT_UNDO:
            raise NothingToUndo(WITHOUT_UNDO[entry.action])
        flag, clock = _lock(work, entry)
        undo = Undo(work, flag, clock, entry.id, by, force, override, limits)
        changed = WAYS[entry.action](undo, entry)
        (done,) = undo.made
        keep_response(work, idempotent, done, clock)
        change_flags(work, [changed] if changed.archived_at else with_next_due(work, [changed]))
        work.commit()
    return done


def _lock(work: Writing, entry: StoredEntry) -> tuple[Flag, datetime]:
    if entry.action is Action.FLAG_ARCHIVED:
        if flag := work.flags.lock_archived(entry.flag_id, entry.name.environment):
            return flag, work.now()
        raise NothingToUndo("the flag was restored already")
    if entry.action is Action.SCHEDULE_CANCELLED:
        _lock_plan(work, entry)
    (flag,), clock = lock_current(work, [entry.name])
    if flag.id != entry.flag_id:
        raise EntryMissing(entry.id, entry.name.key)  # Of an archived flag, whose key another has now.
    return flag, clock


def _lock_plan(work: Writing, entry: StoredEntry) -> None:
    """Lock the plan of a cancelled schedule, before the flag: it would come back to that."""
    flag = work.flags.among([entry.flag_id]).get(entry.flag_id)
    schedule = work.schedules.find(flag, entry.schedule_id) if flag and entry.schedule_id else None
    if schedule and schedule.batch_id:
        work.plans.lock(schedule.batch_id)


def _set_back(undo: Undo, entry: StoredEntry) -> Flag:
    """Undo an edit of the flag, or the application of a schedule."""
    if UserUndoing.of(entry):
        return _set_user_back(undo, entry)
    back = Undoing.of(entry.before, entry.after, SETTINGS).back(document_of(undo.flag), force=undo.force)
    return undo.change_flag(undo.flag.edited(_edit_to(back), undo.now), undo.exempt())


def _set_user_back(undo: Undo, entry: StoredEntry) -> Flag:
    user = UserUndoing.of(entry)
    if user is None:
        raise NothingToUndo(UNREADABLE)
    undo.set_user_back(user)
    return undo.flag


def _edit_to(back: Values) -> FlagEdit:
    settings = {attribute: back[name] for name, attribute in FIELDS.items() if name in back}
    return FlagEdit(Updates(**settings) if settings else None, back.get("description"))


def _restore(undo: Undo, entry: StoredEntry) -> Flag:
    del entry
    if undo.work.flags.find(undo.flag.name):
        raise FlagExists(undo.flag.name.environment, undo.flag.name.key)
    undo.work.flags.revive(undo.flag)
    return undo.change_flag(undo.flag.restored(undo.now), undo.exempt())


def _archive(undo: Undo, entry: StoredEntry) -> Flag:
    del entry
    exemption = undo.exempt()  # Before the holds of the flag end with it.
    after, endings = end_flag(undo.work, undo.flag, undo.clock, undo.by)
    undo.work.history.append(endings)
    return undo.change_flag(after, exemption)


def _find(undo: Undo, entry: StoredEntry) -> Schedule:
    found = undo.work.schedules.find(undo.flag, entry.schedule_id) if entry.schedule_id else None
    if found is None:
        raise NothingToUndo(UNREADABLE)
    return found


def _cancel(undo: Undo, entry: StoredEntry) -> Flag:
    before = _find(undo, entry)
    before.refuse_unless_pending()
    if not undo.force and (conflicts := differences(entry.after, document_of(before), SCHEDULED)):
        raise ChangedSince(conflicts)
    after = before.cancelled(undo.by.name, undo.now)
    undo.work.schedules.cancel([after])
    undo.change_schedule(before, after)
    return undo.flag


def _edit_back(undo: Undo, entry: StoredEntry) -> Flag:
    before = _find(undo, entry)
    before.refuse_unless_pending()
    back = Undoing.of(entry.before, entry.after, SCHEDULED).back(document_of(before), force=undo.force)
    edit = _schedule_edit(before, back)
    if edit.scheduled_at is not None:
        if edit.scheduled_at <= undo.now:
            raise NothingToUndo(PASSED)
        undo.limits.refuse_instant(edit.scheduled_at, undo.now, ("entryId",))
    after = _edited(before, edit, undo)
    if edit.updates is not None:
        refuse_edited_override(undo.work, undo.flag, after)
    undo.work.schedules.edit([after])
    undo.change_schedule(before, after)
    return undo.flag


def _edited(schedule: Schedule, edit: ScheduleEdit, undo: Undo) -> Schedule:
    try:
        return schedule.edited(edit, undo.flag, undo.now)
    except ValueError as error:
        raise NothingToUndo(UNREADABLE_NOW) from error


def _schedule_edit(schedule: Schedule, back: Values) -> ScheduleEdit:
    try:
        at = datetime.fromisoformat(back["scheduledAt"]) if "scheduledAt" in back else None
        return ScheduleEdit(
            at,
            _change_in(back),
            LocalTime.of(at, schedule.time_zone) if at and schedule.time_zone else None,
            sets_condition="onlyIf" in back,
            only_if=_condition_in(back),
        )
    except (ValueError, TypeError) as error:
        raise NothingToUndo(UNREADABLE) from error


def _change_in(back: Values) -> Change | None:
    override = back.get("override")
    stored = {"override": override} if override else back.get("updates")
    if stored is None:
        return None
    change = read_updates(stored)
    if isinstance(change, UnreadableUpdates):
        raise ValueError(change.reason)  # noqa: TRY004 - of what is stored
    return change


def _condition_in(back: Values) -> Condition | None:
    asked = back.get("onlyIf")
    # As it is asked for, it has no version to count edits from; the edit gives it one.
    return read_condition(asked | ({"unedited": 0} if "unedited" in asked else {})) if asked else None


def _plan_anew(undo: Undo, entry: StoredEntry) -> Flag:
    """Plan a cancelled schedule once more, as another one."""
    cancelled = _find(undo, entry)
    if undo.work.history.undoing(entry):
        raise NothingToUndo("it was undone already")
    if isinstance(cancelled.updates, UnreadableUpdates):
        raise NothingToUndo(UNREADABLE)
    if cancelled.scheduled_at <= undo.now:
        raise NothingToUndo(PASSED)
    zone = cancelled.time_zone
    local = LocalTime.of(cancelled.scheduled_at, zone) if zone else None
    item = PlanItem(undo.flag.name, PlannedChange(cancelled.scheduled_at, cancelled.updates, local), ("entryId",))
    flags = {undo.flag.name: undo.flag}
    refuse_quotas(undo.work, [item], flags, undo.limits)
    added = add_schedules(
        undo.work, [item], flags, undo.clock, plan_id=_live_plan(undo, cancelled), by=undo.by, undoes=undo.undoes
    )
    undo.made.append(undo.work.history.undoing(entry)[-1])
    return added.flags[undo.flag.name]


@retry_when_overtaken
def undo_plan(
    plan_id: UUID,
    *,
    by: Actor,
    store: Store,
    force: bool = False,
    override: str | None = None,
    idempotent: IdempotentRequest[EffectivePlan] | None = None,
) -> EffectivePlan:
    """Cancel what of a plan is ahead, end it, and set each of its flags back to what it was before the plan.

    All of it, or nothing. Raises PlanMissing, NothingToUndo, FlagBusy, TooManyOverrides; ChangedSince, by flag, if
    anything of that was changed since, unless it is forced; Frozen; with `idempotent` as `undo_entry`.
    """
    with store.writing() as work:
        take_key(work, idempotent)
        plan = work.plans.lock(plan_id)
        if plan is None:
            raise PlanMissing(plan_id)
        locked, clock = lock_existing(work, [], {one.flag_id for one in work.schedules.of_plans([plan_id])})
        flags = {flag.id: flag for flag in locked.values()}
        schedules = work.schedules.of_plans([plan_id])
        ahead = [(one, one.cancelled(by.name, flags[one.flag_id].now(clock))) for one in schedules if one.pending]
        cancelled = {after.id: after for _, after in ahead}
        work.schedules.cancel(list(cancelled.values()))  # First: it makes room for overrides that are set back.
        parts = [
            Part.of(Undo(work, flags[flag_id], clock, entries[-1].id, by, True, override), entries)
            for flag_id, entries in _applied(work, schedules).items()
            if flag_id in flags
        ]
        _refuse_changed(parts, force=force)
        changed = {part.undo.flag.id: part.set_back() for part in parts if part.missing}
        if not changed and not ahead:
            raise NothingToUndo("all is as it was before the plan")
        work.history.append(
            [schedule_entry(flags[one.flag_id], one, after, by=by, recorded_at=clock) for one, after in ahead]
        )
        ended = plan if plan.ended_at else plan.ended(clock)
        work.plans.change(ended)
        shown = show_plans(work, [ended], [cancelled.get(one.id, one) for one in schedules], clock)[0]
        keep_response(work, idempotent, shown, clock)
        changed = {**{one.flag_id: flags[one.flag_id] for one in cancelled.values()}, **changed}
        change_flags(work, with_next_due(work, changed.values()))
        work.commit()
    return shown


@dataclass(frozen=True, slots=True)
class Part:
    """What a plan has done to one flag."""

    undo: Undo
    settings: Undoing
    users: Sequence[UserUndoing]

    @classmethod
    def of(cls, undo: Undo, entries: Sequence[StoredEntry]) -> Self:
        """By the entries of its schedules, in order."""
        users: dict[str, list[UserUndoing]] = defaultdict(list)
        for user in filter(None, map(UserUndoing.of, entries)):
            users[user.user_id].append(user)
        return cls(
            undo,
            Undoing.of_all(Undoing.of(entry.before, entry.after, FIELDS) for entry in entries),
            [replace(some[0], undoing=Undoing.of_all(one.undoing for one in some)) for some in users.values()],
        )

    @property
    def name(self) -> str:
        """The flag's, with its environment."""
        return f"{self.undo.flag.name.environment}/{self.undo.flag.name.key}"

    @property
    def conflicts(self) -> Values:
        """What was changed since, by name."""
        of_users = {f"users/{user.user_id}": user.undoing.conflicts(self._now(user)) for user in self.users}
        return {
            **self.settings.conflicts(document_of(self.undo.flag)),
            **{name: found[SET] for name, found in of_users.items() if found},
        }

    @property
    def missing(self) -> bool:
        """Is anything to be set back?"""
        settings = self.settings.missing(document_of(self.undo.flag))
        return bool(settings) or any(user.undoing.missing(self._now(user)) for user in self.users)

    def set_back(self) -> Flag:
        """Set all of it back."""
        for user in self.users:
            if user.undoing.missing(self._now(user)):
                self.undo.set_user_back(user)
        flag = self.undo.flag
        back = self.settings.missing(document_of(flag))
        if not back:
            return flag
        return self.undo.change_flag(flag.edited(_edit_to(back), self.undo.now), self.undo.exempt())

    def _now(self, user: UserUndoing) -> Values:
        return set_of(self.undo.work.overrides.find(self.undo.flag, user.user_id))


def _applied(work: Writing, schedules: Sequence[Schedule]) -> dict[UUID, list[StoredEntry]]:
    """The entries of those that were applied, in order, by their flags."""
    found: dict[UUID, list[StoredEntry]] = defaultdict(list)
    for entry in work.history.applied([one.id for one in schedules if one.status is Status.APPLIED]):
        found[entry.flag_id].append(entry)
    return found


def _refuse_changed(parts: Sequence[Part], *, force: bool) -> None:
    conflicts = {part.name: found for part in parts if (found := part.conflicts)}
    if conflicts and not force:
        raise ChangedSince(conflicts)


WAYS: Mapping[Action, Callable[[Undo, StoredEntry], Flag]] = {
    Action.FLAG_UPDATED: _set_back,
    Action.FLAG_ARCHIVED: _restore,
    Action.FLAG_RESTORED: _archive,
    Action.SCHEDULE_APPLIED: _set_back,
    Action.SCHEDULE_CREATED: _cancel,
    Action.SCHEDULE_UPDATED: _edit_back,
    Action.SCHEDULE_CANCELLED: _plan_anew,
    Action.OVERRIDE_SET: _set_user_back,
    Action.OVERRIDE_REMOVED: _set_user_back,
}
"""How an entry is undone; each returns the flag as it is then."""


def _live_plan(undo: Undo, schedule: Schedule) -> UUID | None:
    """The schedule's plan, unless that was ended."""
    plan = undo.work.plans.find(schedule.batch_id) if schedule.batch_id else None
    return plan.id if plan and plan.ended_at is None else None
