"""Lives of a flag: its history, state and plan, as an hour of changes and recordings leaves them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import strategies as st

from flagsched.domain.agenda import Agenda
from flagsched.domain.conditions import Condition
from flagsched.domain.effective import ending
from flagsched.domain.flags import Flag, FlagEdit, FlagState
from flagsched.domain.history import (
    STATE_CHANGES,
    Action,
    Entry,
    StateChange,
    document_of,
    flag_entry,
    schedule_entry,
    state_of,
)
from flagsched.domain.holds import AtEnd, Hold
from flagsched.domain.overrides import SETS, OverrideChange
from flagsched.domain.schedules import PlannedChange, Schedule, number_schedules
from flagsched.domain.timeline import replay, state_at
from flagsched.domain.updates import Updates
from tests.builders import ADMIN, NOON, a_hold, a_new_flag, after

settings = st.builds(Updates, enabled=st.none() | st.booleans(), rollout_percentage=st.integers(0, 100)) | st.builds(
    Updates, enabled=st.booleans()
)
override_changes = st.builds(OverrideChange, st.sampled_from(["ada", "bob"]), st.sampled_from([*SETS.values()]))
percentages = st.integers(0, 100)
conditions = st.none() | st.one_of(
    st.builds(Condition, enabled=st.booleans(), unedited=st.booleans()),
    st.builds(Condition, at_least=percentages),
    st.builds(Condition, at_most=percentages, unedited=st.booleans()),
)
lengths = st.integers(min_value=0, max_value=4).map(lambda seconds: timedelta(seconds=seconds))


class Life:
    """Does to one flag what the use cases do, in memory."""

    def __init__(self) -> None:
        self.now = NOON
        self.flag: Flag = a_new_flag().born(UUID(int=1), NOON)
        self.entries: list[Entry] = []
        self.schedules: dict[UUID, Schedule] = {}
        self.holds: list[Hold] = []
        self.seen: list[tuple[datetime, FlagState]] = []
        self._append([flag_entry(None, self.flag, by=ADMIN, recorded_at=NOON)])

    @property
    def agenda(self) -> Agenda[Schedule]:
        return Agenda.of(self.schedules.values(), holds=self.holds)

    @property
    def past(self) -> list[StateChange]:
        """What the history tells of the flag's states; entries are numbered from 1 on."""
        states = (
            (number, entry, state_of(document_of(entry.after), entry.flag_version, entry.effective_at))
            for number, entry in enumerate(self.entries, start=1)
            if entry.action in STATE_CHANGES and entry.after is not None
        )
        return [StateChange(number, entry.schedule_id, state) for number, entry, state in states if state]

    def wait(self, length: timedelta) -> None:
        """Let time pass, and look at the flag just before it is over."""
        if length:
            last = self.now + length - timedelta(milliseconds=1)
            self.seen.append((last, state_at(self.flag, self.agenda, last)))
        self.now += length

    def record(self) -> None:
        """What a worker does, and every writer first."""
        replayed = replay(self.flag, self.agenda, self.now)
        for step in replayed.steps:
            status, _ = ending(step.outcome)
            entry = Entry(
                flag_id=self.flag.id,
                name=self.flag.name,
                action=Action(f"schedule.{status.value}"),
                schedule_id=step.schedule.id,
                flag_version=step.after.version,
                before=step.before,
                after=step.after,
                actor="flagsched",
                request_id=None,
                effective_at=step.effective_at,
                recorded_at=self.now,
            )
            self._append([entry])
            self.schedules[step.schedule.id] = replace(self.schedules[step.schedule.id], status=status)
        self.flag = replayed.recorded

    def edit(self, updates: Updates | None) -> None:
        self.record()
        before, self.flag = self.flag, self.flag.edited(FlagEdit(updates), self.flag.now(self.now))
        self._append([flag_entry(before, self.flag, by=ADMIN, recorded_at=self.now)])

    def plan(self, changes: Sequence[PlannedChange]) -> list[Schedule]:
        self.record()
        planned = number_schedules(
            self.flag, changes, ids=[uuid4() for _ in changes], batch_id=None, by="ada", at=self.flag.now(self.now)
        )
        self.schedules |= {schedule.id: schedule for schedule in planned}
        if planned:
            self.flag = replace(self.flag, last_seq=planned[-1].seq, next_due_at=self.agenda.next_due_at)
        self._append([schedule_entry(self.flag, None, s, by=ADMIN, recorded_at=self.now) for s in planned])
        return planned

    def hold(self, begins: timedelta, length: timedelta | None, at_end: AtEnd) -> None:
        """From now on, or later, for so long or until it is released."""
        self.record()
        start = self.flag.now(self.now) + begins
        end = None if length is None else start + length
        self.holds.append(a_hold(start, end, at_end))
        self.flag = replace(self.flag, next_due_at=self.agenda.next_due_at)

    def release(self, place: int, at_end: AtEnd) -> None:
        """End one of the holds now, if it is not over."""
        self.record()
        now = self.flag.now(self.now)
        if self.holds and not (hold := self.holds[place % len(self.holds)]).is_over(now):
            self.holds[place % len(self.holds)] = hold.released(at_end, "ada", now)
            self.flag = replace(self.flag, next_due_at=self.agenda.next_due_at)
            self.record()

    def _append(self, entries: Sequence[Entry]) -> None:
        self.entries += entries


@st.composite
def changes(draw: st.DrawFn, now: datetime, most: int = 4) -> list[PlannedChange]:
    """Changes that may be planned at `now`, at few instants so that ties are common."""
    sets = st.builds(lambda change, condition: change.under(condition), settings | override_changes, conditions)
    ahead = draw(st.lists(st.tuples(st.integers(1, 8), sets), max_size=most, unique_by=lambda one: one[0]))
    return [PlannedChange(now + timedelta(seconds=seconds), change) for seconds, change in ahead]


@st.composite
def lives(draw: st.DrawFn) -> Life:
    life = Life()
    for _ in range(draw(st.integers(min_value=0, max_value=10))):
        life.wait(draw(lengths))
        match draw(st.sampled_from(["plan", "plan", "record", "edit", "hold", "release"])):
            case "plan":
                if planned := draw(changes(life.now)):
                    life.plan(planned)
            case "record":
                life.record()
            case "edit":
                life.edit(draw(st.none() | settings))
            case "hold":
                longer = lengths.map(lambda length: length + timedelta(seconds=1))
                life.hold(draw(lengths), draw(st.none() | longer), draw(st.sampled_from(AtEnd)))
            case "release":
                life.release(draw(st.integers(0, 3)), draw(st.sampled_from(AtEnd)))
    return life


instants = st.integers(min_value=-2_000, max_value=60_000).map(lambda milliseconds: after(milliseconds / 1000))
