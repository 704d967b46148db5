"""Whatever is done in whatever order, by whomever, with crashes and clocks set back: it is as the plain model says."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from flagsched.database.clock import HostClock
from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.schema.tables import schedules
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.conditions import Condition
from flagsched.domain.durations import Duration
from flagsched.domain.effective import EffectiveSchedule
from flagsched.domain.errors import (
    AlreadyApplied,
    AlreadyCancelled,
    AlreadyFailed,
    AlreadySkipped,
    ChangedSince,
    DuplicateInstants,
    FlagExists,
    Frozen,
    HoldOver,
    InstantsRefused,
    NothingToUndo,
    OverrideMissing,
    PlanEnded,
    ValidationFailed,
)
from flagsched.domain.evaluation import Reason
from flagsched.domain.flags import FlagEdit, FlagName
from flagsched.domain.history import Action, StoredEntry
from flagsched.domain.holds import AtEnd, HoldEdit, NewHold, Release
from flagsched.domain.idempotency import IdempotencyKey, StoredResponse
from flagsched.domain.overrides import SETS, NewOverride, Override, OverrideChange, OverrideType
from flagsched.domain.plans import NewPlan, PlanEdit
from flagsched.domain.rollouts import Rollout, RolloutEnvironment, RolloutStep
from flagsched.domain.schedules import PlannedChange, ScheduleEdit
from flagsched.domain.updates import Change, Updates
from flagsched.ports.flags import FlagQuery
from flagsched.ports.history import HistoryQuery
from flagsched.ports.overrides import OverrideQuery
from flagsched.ports.schedules import EnvironmentScheduleQuery
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.doctor import examine
from flagsched.usecases.flags import archive_flag, create_flag, edit_flag, list_flags
from flagsched.usecases.history import list_flag_history, list_history
from flagsched.usecases.holds import edit_hold, hold_environment, hold_flag, release_hold
from flagsched.usecases.idempotency import IdempotentRequest, Replayed
from flagsched.usecases.locks import lock_current
from flagsched.usecases.materialise import materialise_due, record
from flagsched.usecases.overrides import list_overrides, remove_override, set_override
from flagsched.usecases.plans import create_plan, edit_plan, end_plan, read_plan
from flagsched.usecases.schedules import cancel_schedule, edit_schedule, list_environment_schedules, plan_schedules
from flagsched.usecases.timeline import read_timeline
from flagsched.usecases.undo import undo_entry
from tests.builders import ADMIN, ManualClock, a_new_flag
from tests.contract.plain import NEVER, PlainFlag, PlainHold, PlainSchedule, PlainWorld
from tests.contract.records import told_now
from tests.databases import EMPTY, administer

KEYS = ("a", "b")
keys = st.sampled_from(KEYS)
seconds = st.integers(min_value=1, max_value=6)  # Few instants, so that ties are common.
TURN_ON = Updates(enabled=True)
updates = st.builds(Updates, enabled=st.none() | st.booleans(), rollout_percentage=st.integers(0, 100)) | st.builds(
    Updates, enabled=st.booleans()
)
USERS = ("ada", "bob")
users = st.sampled_from(USERS)
percentages = st.integers(0, 100)
conditions = st.none() | st.one_of(
    st.builds(Condition, enabled=st.booleans(), unedited=st.booleans()),
    st.builds(Condition, at_least=percentages),
    st.builds(Condition, at_most=percentages, unedited=st.booleans()),
    st.just(Condition(unedited=True)),
)
changes = st.builds(
    lambda change, condition: change.under(condition),
    updates | st.builds(OverrideChange, users, st.sampled_from([*SETS.values()])),
    conditions,
)


class Crash(Exception):
    """A process dies."""


@dataclass
class Kept:
    """A request that was answered, to be sent again."""

    idempotent: IdempotentRequest[list[EffectiveSchedule]]
    key: str
    changes: list[PlannedChange]
    ids: str


class Machine(RuleBasedStateMachine):
    """Does to a store and to the model the same."""

    fresh: Callable[[ManualClock], SqlStore]

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.store = type(self).fresh(self.clock)
        self.world = PlainWorld()
        self.workers = [Backoff(lambda: self.clock().timestamp()) for _ in range(3)]
        self.ids: dict[UUID, tuple[str, PlainFlag, PlainSchedule]] = {}
        self.kept: list[Kept] = []
        self.plans: dict[UUID, list[UUID]] = {}
        self.ended_plans: set[UUID] = set()

    @initialize()
    def a_flag_to_begin_with(self) -> None:
        self.create("a")

    @rule(key=keys)
    def create(self, key: str) -> None:
        if key in self.world.flags:
            with pytest.raises(FlagExists):
                create_flag(a_new_flag(key), by=ADMIN, store=self.store)
            return
        create_flag(a_new_flag(key), by=ADMIN, store=self.store)
        of_all = [hold for hold in self.world.holds.values() if hold.key is None]
        new = PlainFlag({"enabled": False, "rolloutPercentage": 100}, 1, self.clock.at, holds=of_all)
        self.world.flags[key] = new
        self.world.told["flag.created"] += 1

    @precondition(lambda self: self.world.flags)
    @rule(data=st.data(), ahead=st.dictionaries(seconds, changes, min_size=1, max_size=4), keyed=st.booleans())
    def plan(self, data: st.DataObject, ahead: dict[int, Change], keyed: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.flags)))
        present = self._present(key)
        changes = [PlannedChange(present + timedelta(seconds=s), change) for s, change in ahead.items()]
        request = IdempotencyKey.of("ada", str(len(self.kept)), str(changes).encode())
        idempotent: IdempotentRequest[list[EffectiveSchedule]] = IdempotentRequest(
            request, lambda made: StoredResponse(201, {}, ids_of(made))
        )
        created = self._plan(key, changes, idempotent if keyed else None)
        self.world.record(key, self.clock.at)
        self._remember([(key, change) for change in changes], created)
        if keyed:
            self.kept.append(Kept(idempotent, key, changes, ids_of(created)))

    def _remember(self, changes: Sequence[tuple[str, PlannedChange]], created: Sequence[EffectiveSchedule]) -> None:
        for one, (key, change) in zip(created, changes, strict=True):
            flag = self.world.flags[key]
            plain = PlainSchedule(change.scheduled_at, len(flag.plan) + 1, dict(change.updates.as_json()))
            plain.only_if, plain.planned_version = asked(change.updates), flag.version
            flag.plan.append(plain)
            self.ids[one.schedule.id] = (key, flag, plain)
            self.plans.setdefault(plan_of(one), []).append(one.schedule.id)
        self.world.told["schedule.created"] += len(changes)

    @precondition(lambda self: self.world.flags)
    @rule(ahead=st.dictionaries(st.integers(0, 6), changes, min_size=1, max_size=3), now=st.booleans())
    def plan_all_flags(self, ahead: dict[int, Change], now: bool) -> None:
        names = sorted(self.world.flags)
        start = max(map(self._present, names)) + timedelta(seconds=0 if now else 1)
        offsets = sorted(ahead)
        waits = [Duration(seconds=later - earlier) for earlier, later in zip([0, *offsets], offsets, strict=False)]
        steps = [RolloutStep(ahead[offset], wait) for offset, wait in zip(offsets, waits, strict=True)]
        rollout = Rollout(names, [RolloutEnvironment("production")], steps, None if now else start)
        created = create_plan(NewPlan(rollout), by=ADMIN, store=self.store).schedules
        for key in names:
            self.world.record(key, self.clock.at)
        changes = [PlannedChange(start + timedelta(seconds=offset), ahead[offset]) for offset in offsets]
        self._remember([(key, change) for change in changes for key in names], created)
        for key in names:
            self.world.record(key, self.clock.at)

    @precondition(lambda self: self.plans)
    @rule(data=st.data(), by=st.integers(-3, 6))
    def shift_a_plan(self, data: st.DataObject, by: int) -> None:
        plan_id = data.draw(st.sampled_from(list(self.plans)))
        length = timedelta(seconds=by)
        ahead = self._ahead_of(plan_id)
        expected: type[Exception] | None = None
        if plan_id in self.ended_plans or not ahead:
            expected = PlanEnded
        elif any(plain.at + length <= self._present(key) for key, plain in ahead):
            expected = ValidationFailed
        else:
            self._record_flags_of(plan_id)
        with refused(expected):
            edit_plan(plan_id, PlanEdit(shift=Duration(seconds=by)), by=ADMIN, store=self.store)
        if expected is None:
            for _, plain in ahead:
                plain.at += length
            self.world.told["schedule.updated"] += len(ahead)

    @precondition(lambda self: self.plans)
    @rule(data=st.data())
    def end_a_plan(self, data: st.DataObject) -> None:
        plan_id = data.draw(st.sampled_from(list(self.plans)))
        if plan_id in self.ended_plans:
            with pytest.raises(PlanEnded):
                end_plan(plan_id, by=ADMIN, store=self.store)
            return
        ahead = self._ahead_of(plan_id)
        self._record_flags_of(plan_id)
        end_plan(plan_id, by=ADMIN, store=self.store)
        self.ended_plans.add(plan_id)
        for _, plain in ahead:
            plain.status = "cancelled"
        self.world.told["schedule.cancelled"] += len(ahead)

    def _ahead_of(self, plan_id: UUID) -> list[tuple[str, PlainSchedule]]:
        """What of a plan has not come yet."""
        own = [self.ids[one] for one in self.plans[plan_id]]
        return [(key, plain) for key, flag, plain in own if flag.is_ahead(plain, self.clock.at)]

    def _record_flags_of(self, plan_id: UUID) -> None:
        """A plan's writer records what is due on the flags that something of it is not recorded for."""
        own = [self.ids[one] for one in self.plans[plan_id]]
        for key in {key for key, _, plain in own if plain.status == "pending"}:
            self.world.record(key, self.clock.at)

    @precondition(lambda self: self.world.flags)
    @rule(data=st.data(), ahead=seconds, behind=st.integers(min_value=0, max_value=3), twice=st.booleans())
    def plan_what_is_refused(self, data: st.DataObject, ahead: int, behind: int, twice: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.flags)))
        good, other = ahead, ahead if twice else -behind
        changes = [PlannedChange(self._present(key) + timedelta(seconds=s), TURN_ON) for s in (good, other)]
        with refused(DuplicateInstants if twice else InstantsRefused):
            self._plan(key, changes, None)

    def _plan(self, key: str, changes: list[PlannedChange], idempotent: Any) -> list[EffectiveSchedule]:
        return plan_schedules(named(key), changes, batch=True, by=ADMIN, store=self.store, idempotent=idempotent)

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        kept = data.draw(st.sampled_from(self.kept))
        with pytest.raises(Replayed) as repeated:
            self._plan(kept.key, kept.changes, kept.idempotent)
        assert repeated.value.response.body == kept.ids

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        for schedule_id, key, plain in self._one_of_the_living(data):
            expected = self._refusal(key, plain)
            self.world.record(key, self.clock.at)
            with refused(expected):
                cancel_schedule(named(key), schedule_id, by=ADMIN, store=self.store)
            if expected is None:
                plain.status = "cancelled"
                self.world.told["schedule.cancelled"] += 1

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), to=st.none() | seconds | st.just(-1), sets=st.none() | changes, condition=conditions)
    def edit_a_schedule(
        self, data: st.DataObject, to: int | None, sets: Change | None, condition: Condition | None
    ) -> None:
        at = None if to is None else self.clock.at + timedelta(seconds=to)
        edit = ScheduleEdit(at, sets and sets.under(None), sets_condition=sets is not None, only_if=condition)
        for schedule_id, key, plain in self._one_of_the_living(data):
            expected = self._refusal(key, plain)
            if expected is None and at is not None and at <= self._present(key):
                expected = InstantsRefused
            else:
                self.world.record(key, self.clock.at)
            with refused(expected):
                edit_schedule(named(key), schedule_id, edit, by=ADMIN, store=self.store)
            if expected is None:
                plain.at, plain.sets = at or plain.at, plain.sets if sets is None else dict(sets.as_json())
                if edit.sets_condition:
                    plain.only_if = condition.as_json() if condition else {}
                    plain.planned_version = self.world.flags[key].version
                self.world.told["schedule.updated"] += 1

    def _one_of_the_living(self, data: st.DataObject) -> list[tuple[UUID, str, PlainSchedule]]:
        living = [(i, key, plain) for i, (key, flag, plain) in self.ids.items() if self.world.flags.get(key) is flag]
        return [data.draw(st.sampled_from(living))] if living else []

    def _refusal(self, key: str, plain: PlainSchedule) -> type[Exception] | None:
        if plain.status == "cancelled":
            return AlreadyCancelled
        flag = self.world.flags[key]
        if flag.is_ahead(plain, self.clock.at):
            return None
        return {"applied": AlreadyApplied, "failed": AlreadyFailed, "skipped": AlreadySkipped}[
            flag.ending(plain, self.clock.at)
        ]

    def _present(self, key: str) -> datetime:
        """The flag's own present once what is due is written down, as every writer does first."""
        flag = self.world.flags[key]
        return max([self.clock.at, flag.changed_at, *(flag.lands(s)[0] for s in flag.due(self.clock.at))])

    @precondition(lambda self: self.world.flags)
    @rule(data=st.data(), sets=st.none() | updates)
    def edit(self, data: st.DataObject, sets: Updates | None) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.flags)))
        with self._refused_if_frozen(key) as frozen:
            edit_flag(named(key), FlagEdit(sets, None if sets else "edited"), by=ADMIN, store=self.store)
        if frozen:
            return
        flag = self.world.record(key, self.clock.at)
        present = max(self.clock.at, flag.changed_at)
        if sets:
            flag.edit(self._newest_entry(key).id, dict(sets.as_json()), present)
        else:
            flag.change({}, present)
        self.world.told["flag.updated"] += 1

    def _newest_entry(self, key: str) -> StoredEntry:
        return max(self._entries(key), key=attrgetter("id"))

    def _entries(self, key: str) -> Sequence[StoredEntry]:
        return list_flag_history(named(key), HistoryQuery("production", limit=1000), store=self.store).items

    @precondition(lambda self: any(flag.edits for flag in self.world.flags.values()))
    @rule(data=st.data(), force=st.booleans())
    def undo(self, data: st.DataObject, force: bool) -> None:
        key = data.draw(st.sampled_from(sorted(key for key, flag in self.world.flags.items() if flag.edits)))
        entry_id, before, then = data.draw(st.sampled_from(self.world.flags[key].edits))
        now = self.world.flags[key].settings_at(self.clock.at)
        changed = [name for name in before if before[name] != then[name]]
        back = {name: before[name] for name in changed if now[name] != before[name]}
        expected: type[Exception] | None = None
        if not force and any(now[name] not in (before[name], then[name]) for name in changed):
            expected = ChangedSince
        elif not back:
            expected = NothingToUndo
        elif self._frozen(key):
            expected = Frozen
        with refused(expected):
            undo_entry(named(key), entry_id, by=ADMIN, store=self.store, force=force)
        if expected is None:
            flag = self.world.record(key, self.clock.at)
            newest = self._newest_entry(key)
            assert newest.undoes == entry_id
            flag.edit(newest.id, back, max(self.clock.at, flag.changed_at))
            self.world.told["flag.updated"] += 1

    @precondition(lambda self: self.world.flags)
    @rule(data=st.data(), user=users, sets=st.sampled_from([*SETS]))
    def set_a_user_apart(self, data: st.DataObject, user: str, sets: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.flags)))
        kind = SETS[sets]
        if self._frozen(key):
            with pytest.raises(Frozen):
                set_override(named(key), NewOverride(user, OverrideType.INCLUDE), by=ADMIN, store=self.store)
            return
        if kind:
            set_override(named(key), NewOverride(user, kind), by=ADMIN, store=self.store)
        elif user in self.world.flags[key].seen_users(self.clock.at):
            remove_override(named(key), user, by=ADMIN, store=self.store)
        else:
            with pytest.raises(OverrideMissing):
                remove_override(named(key), user, by=ADMIN, store=self.store)
            return
        self.world.record(key, self.clock.at).set_apart(user, sets)
        self.world.told["override.set" if kind else "override.removed"] += 1

    @precondition(lambda self: any(len(flag.plan) > 3 for flag in self.world.flags.values()))
    @rule(data=st.data())
    def archive(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.flags)))
        with self._refused_if_frozen(key) as frozen:
            archive_flag(named(key), by=ADMIN, store=self.store)
        if frozen:
            return
        flag = self.world.record(key, self.clock.at)
        present = max(self.clock.at, flag.changed_at)
        for hold in self.world.holds.values():
            if hold.key == key and hold in flag.holds and not hold.is_over(present):
                hold.end, hold.released = max(hold.start, present), True
                self.world.told["hold.released"] += 1
        pending = [schedule for schedule in flag.plan if schedule.status == "pending"]
        for schedule in pending:
            schedule.status = "cancelled"
        self.world.told.update(["flag.archived", *("schedule.cancelled" for _ in pending)])
        del self.world.flags[key]

    @precondition(lambda self: self.world.flags)
    @rule(
        data=st.data(),
        begins=st.none() | seconds,
        length=st.none() | seconds,
        skips=st.booleans(),
        freezes=st.booleans(),
        sets=st.none() | updates,
    )
    def hold(
        self,
        data: st.DataObject,
        begins: int | None,
        length: int | None,
        skips: bool,
        freezes: bool,
        sets: Updates | None,
    ) -> None:
        key = data.draw(st.sampled_from([None, *sorted(self.world.flags)]))
        present = self._present_of(key)
        start = present if begins is None else present + timedelta(seconds=begins)
        end = None if length is None else start + timedelta(seconds=length)
        asked = NewHold("it burns", start if begins else None, end, AtEnd.SKIP if skips else AtEnd.CATCH_UP, freezes)
        if key is None:
            placed = hold_environment("production", asked, by=ADMIN, store=self.store)
        else:
            asked = asked if begins else replace(asked, updates=sets)
            placed = hold_flag(named(key), asked, by=ADMIN, store=self.store)
        self._record_all(key)
        if key and asked.updates:
            edited = max((one for one in self._entries(key) if one.action is Action.FLAG_UPDATED), key=attrgetter("id"))
            self.world.flags[key].edit(edited.id, dict(asked.updates.as_json()), present)
            self.world.told["flag.updated"] += 1
        plain = PlainHold(key, start, end, skips, freezes)
        self.world.holds[placed.hold.id] = plain
        for flag in self.world.bearing_on(key):
            flag.holds.append(plain)
        self.world.told["hold.placed"] += 1

    @precondition(lambda self: self.world.holds)
    @rule(data=st.data(), how=st.none() | st.sampled_from(Release))
    def release(self, data: st.DataObject, how: Release | None) -> None:
        for hold_id, hold in self._a_hold(data):
            present = self._present_of(hold.key)
            expected: type[Exception] | None = None
            if hold.is_over(present):
                expected = HoldOver
            elif how is Release.SHIFT and hold.key is None:
                expected = ValidationFailed
            with refused(expected):
                release_hold(hold_id, how, by=ADMIN, store=self.store)
            if expected:
                continue
            self._record_all(hold.key)
            if how is Release.SHIFT and hold.key and hold.start < present:
                moved = [s for s in self.world.flags[hold.key].plan if s.status == "pending" and s.at >= hold.start]
                for schedule in moved:
                    schedule.at += present - hold.start
                self.world.told["schedule.updated"] += len(moved)
            hold.end, hold.released = max(hold.start, present), True
            hold.skips = hold.skips if how is None else how is Release.SKIP
            self._record_all(hold.key)
            self.world.told["hold.released"] += 1

    @precondition(lambda self: self.world.holds)
    @rule(data=st.data(), length=st.none() | seconds, skips=st.booleans())
    def edit_a_hold(self, data: st.DataObject, length: int | None, skips: bool) -> None:
        for hold_id, hold in self._a_hold(data):
            present = self._present_of(hold.key)
            end = None if length is None else max(hold.start, present) + timedelta(seconds=length)
            expected = HoldOver if hold.is_over(present) else None
            at_end = AtEnd.SKIP if skips else AtEnd.CATCH_UP
            with refused(expected):
                edit_hold(hold_id, HoldEdit(True, end, at_end), by=ADMIN, store=self.store)
            if expected is None:
                self._record_all(hold.key)
                hold.end, hold.skips = end, skips
                self.world.told["hold.updated"] += 1

    def _a_hold(self, data: st.DataObject) -> list[tuple[UUID, PlainHold]]:
        """One of those whose flags are not archived."""
        of_living = {id(hold) for flag in self.world.flags.values() for hold in flag.holds}
        living = [(i, hold) for i, hold in self.world.holds.items() if id(hold) in of_living]
        return [data.draw(st.sampled_from(living))] if living else []

    def _present_of(self, key: str | None) -> datetime:
        return max(self._present(one) for one in ([key] if key else self.world.flags))

    def _record_all(self, key: str | None) -> None:
        for one in [key] if key else self.world.flags:
            self.world.record(one, self.clock.at)

    def _frozen(self, key: str) -> bool:
        """Once what is due is written down, as every writer does first."""
        return self.world.flags[key].frozen(self._present(key))

    @contextmanager
    def _refused_if_frozen(self, key: str) -> Iterator[bool]:
        frozen = self._frozen(key)
        with refused(Frozen if frozen else None):
            yield frozen

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def somebody_spoils_a_schedule(self, data: st.DataObject) -> None:
        for schedule_id, key, plain in self._one_of_the_living(data):
            if plain.status == "pending" and plain not in self.world.flags[key].due(self.clock.at):
                with self.store.writing() as work:
                    spoilt = sa.update(schedules).where(schedules.c.id == schedule_id)
                    work.connection.execute(spoilt.values(updates=sa.literal_column("'[]'")))
                    work.commit()
                plain.sets = None

    @rule(worker=st.integers(0, 2))
    def tick(self, worker: int) -> None:
        assert not materialise_due(self.store, self.workers[worker]).failed
        self.world.tick(self.clock.at)

    @rule()
    def a_worker_crashes(self) -> None:
        with suppress(Crash), self.store.writing() as work:
            if claimed := work.flags.claim_due(20, passing_over=[]):
                record(work, claimed, work.now())
            raise Crash

    @precondition(lambda self: self.world.flags)
    @rule(data=st.data())
    def a_writer_crashes(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.flags)))
        with suppress(Crash), self.store.writing() as work:
            (flag,), clock = lock_current(work, [named(key)])
            edited = flag.edited(FlagEdit(description="never"), flag.now(clock))
            work.flags.change([edited], work.publish({"production": None}))
            raise Crash

    @rule(length=st.sampled_from([0.001, 1, 2, 3, 5]))
    def time_passes(self, length: float) -> None:
        self.clock.advance(seconds=length)

    @rule(length=st.sampled_from([0.001, 1, 4, 10]))
    def the_clock_is_set_back(self, length: float) -> None:
        self.clock.advance(seconds=-length)

    @invariant()
    def every_reader_is_told_what_the_model_says(self) -> None:
        flags = list_flags(FlagQuery("production"), store=self.store).items
        told = {f.flag.name.key: (f.state.enabled, f.state.rollout_percentage, f.state.version) for f in flags}
        assert told == {key: flag.seen(self.clock.at) for key, flag in self.world.flags.items()}
        assert {f.flag.name.key: f.materialized for f in flags} == {
            key: not flag.due(self.clock.at) for key, flag in self.world.flags.items()
        }

    @invariant()
    def every_user_is_set_apart_as_the_model_says(self) -> None:
        effective = told_now(self.store)
        for key, flag in self.world.flags.items():
            seen = flag.seen_users(self.clock.at)
            assert {one.user_id: one.kind for one in self._overrides(key)} == seen
            for user in USERS:
                answer, by_all = effective.flags[key].evaluate(user), effective.flags[key].evaluate("somebody else")
                apart = user in seen and flag.seen(self.clock.at)[0]
                assert (answer.reason is Reason.TARGETING_MATCH) == apart
                assert not apart or answer.value == (seen[user] == "include")
                assert by_all.reason is not Reason.TARGETING_MATCH

    def _overrides(self, key: str) -> list[Override]:
        """All of a flag's, a page of one after the other."""
        pages = [list_overrides(named(key), OverrideQuery(limit=1), store=self.store)]
        while pages[-1].more:
            query = OverrideQuery(after=pages[-1].items[-1].user_id, limit=1)
            pages.append(list_overrides(named(key), query, store=self.store))
        return [one for page in pages for one in page.items]

    @invariant()
    def every_schedule_is_as_the_model_says(self) -> None:
        told = list_environment_schedules(EnvironmentScheduleQuery("production", limit=10_000), store=self.store).items
        assert {one.schedule.id: (one.schedule.status.value, one.in_effect) for one in told} == {
            schedule_id: (plain.status, flag.changed_by(plain, self.clock.at))
            for schedule_id, (_, flag, plain) in self.ids.items()
        }

    @invariant()
    def every_schedule_comes_when_the_model_says(self) -> None:
        told = list_environment_schedules(EnvironmentScheduleQuery("production", limit=10_000), store=self.store).items
        assert {one.schedule.id: one.takes_effect_at or NEVER for one in told if one.ahead} == {
            schedule_id: flag.lands(plain)[0]
            for schedule_id, (_, flag, plain) in self.ids.items()
            if flag.is_ahead(plain, self.clock.at)
        }

    @invariant()
    def every_plan_is_as_far_as_the_model_says(self) -> None:
        for plan_id, schedule_ids in self.plans.items():
            own = [self.ids[one][1:] for one in schedule_ids]
            progress = read_plan(plan_id, store=self.store).progress
            ahead = [flag.lands(plain)[0] for flag, plain in own if flag.is_ahead(plain, self.clock.at)]
            known = [at for at in ahead if at != NEVER]
            assert (progress.pending, progress.next_at) == (len(ahead), min(known, default=None))
            assert progress.applied == sum(flag.changed_by(plain, self.clock.at) for flag, plain in own)
            assert progress.cancelled == sum(plain.status == "cancelled" for _, plain in own)
            ended = progress.applied + progress.skipped + progress.cancelled + progress.failed
            assert progress.pending + ended == len(own)

    @invariant()
    def the_timeline_tells_what_was_and_what_will_be(self) -> None:
        for key, flag in self.world.flags.items():
            for segment in read_timeline(named(key), None, None, store=self.store).segments:
                state, written = segment.state, segment.start < flag.changed_at
                expected = flag.was(segment.start) if written else flag.seen(max(segment.start, flag.changed_at))
                assert (state.enabled, state.rollout_percentage, state.version) == expected

    def teardown(self) -> None:
        self.clock.advance(hours=1)
        for worker in self.workers:
            while materialise_due(self.store, worker).flags:
                pass
        self.world.tick(self.clock.at)
        self.every_reader_is_told_what_the_model_says()
        self.every_user_is_set_apart_as_the_model_says()
        self.every_schedule_is_as_the_model_says()
        entries = list_history(HistoryQuery("production", limit=10_000), store=self.store).items
        assert Counter(one.action.value for one in entries) == self.world.told
        assert [finding for finding in examine(self.store, self.clock.at) if not finding.ok] == []


def asked(change: Change) -> dict[str, Any]:
    """Its condition."""
    return change.only_if.as_json() if change.only_if else {}


def named(key: str) -> FlagName:
    return FlagName("production", key)


def plan_of(one: EffectiveSchedule) -> UUID:
    assert one.schedule.batch_id is not None
    return one.schedule.batch_id


def ids_of(created: list[EffectiveSchedule]) -> str:
    return " ".join(str(one.schedule.id) for one in created)


def refused(expected: type[Exception] | None) -> AbstractContextManager[object]:
    return pytest.raises(expected) if expected else nullcontext()


@pytest.fixture
def fresh(
    request: pytest.FixtureRequest, url: sa.URL, engine: sa.Engine, tmp_path: Path
) -> Iterator[Callable[[ManualClock], SqlStore]]:
    """Gives an empty database each time it is called."""
    engines: list[sa.Engine] = []

    def on_sqlite(clock: ManualClock) -> SqlStore:
        copied = shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / f"{len(engines)}.db")
        engines.append(open_engine(sa.make_url(f"sqlite:///{copied}"), Limits()))
        return SqlStore(engines[-1], HostClock(clock))

    def on_postgresql(clock: ManualClock) -> SqlStore:
        administer(url, EMPTY)
        return SqlStore(engine, HostClock(clock))

    yield on_sqlite if engine.dialect.name == "sqlite" else on_postgresql
    for opened in engines:
        opened.dispose()


def test_whatever_is_done_in_whatever_order_it_is_as_the_plain_model_says(
    fresh: Callable[[ManualClock], SqlStore],
) -> None:
    machine = type("FreshMachine", (Machine,), {"fresh": staticmethod(fresh)})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=settings().max_examples * 3 // 10,
            stateful_step_count=40,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
