"""Lives of a flag: its history, state and plan, as an hour of changes and recordings leaves them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import strategies as st

from flagsched.domain.flags import Flag, FlagEdit, FlagState
from flagsched.domain.history import Action, Entry, StoredEntry, endings, flag_entry, schedule_entry
from flagsched.domain.schedules import PlannedChange, Schedule, Status, number_schedules
from flagsched.domain.timeline import replay, state_at
from flagsched.domain.updates import Updates
from tests.builders import ADMIN, NOON, a_new_flag, after

settings = st.builds(Updates, enabled=st.none() | st.booleans(), rollout_percentage=st.integers(0, 100)) | st.builds(
    Updates, enabled=st.booleans()
)
lengths = st.integers(min_value=0, max_value=4).map(lambda seconds: timedelta(seconds=seconds))


class Life:
    """Does to one flag what the use cases do, in memory."""

    def __init__(self) -> None:
        self.now = NOON
        self.flag: Flag = a_new_flag().born(UUID(int=1), NOON)
        self.entries: list[StoredEntry] = []
        self.schedules: dict[UUID, Schedule] = {}
        self.seen: list[tuple[datetime, FlagState]] = []
        self._append([flag_entry(None, self.flag, by=ADMIN, recorded_at=NOON)])

    @property
    def pending(self) -> list[Schedule]:
        return [schedule for schedule in self.schedules.values() if schedule.pending]

    def wait(self, length: timedelta) -> None:
        """Let time pass, and look at the flag just before it is over."""
        if length:
            last = self.now + length - timedelta(milliseconds=1)
            self.seen.append((last, state_at(self.flag, self.pending, last)))
        self.now += length

    def record(self) -> None:
        """What a worker does, and every writer first."""
        replayed = replay(self.flag, self.pending, self.now)
        for step, ending in zip(replayed.steps, endings(replayed), strict=True):
            entry = Entry(
                flag_id=ending.flag_id,
                name=self.flag.name,
                action=Action.SCHEDULE_APPLIED,
                schedule_id=step.schedule.id,
                flag_version=ending.flag_version,
                before=ending.before,
                after=ending.after,
                actor="flagsched",
                request_id=None,
                effective_at=ending.effective_at,
                recorded_at=self.now,
            )
            self._append([entry])
            self.schedules[step.schedule.id] = replace(self.schedules[step.schedule.id], status=Status.APPLIED)
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
        self.flag = self.flag.numbered(self.flag.last_seq + len(planned))
        self.schedules |= {schedule.id: schedule for schedule in planned}
        self._append([schedule_entry(self.flag, None, s, by=ADMIN, recorded_at=self.now) for s in planned])
        return planned

    def _append(self, entries: Sequence[Entry]) -> None:
        self.entries += [StoredEntry(len(self.entries) + i, entry) for i, entry in enumerate(entries, start=1)]


@st.composite
def changes(draw: st.DrawFn, now: datetime, most: int = 4) -> list[PlannedChange]:
    """Changes that may be planned at `now`, at few instants so that ties are common."""
    ahead = draw(st.lists(st.tuples(st.integers(1, 8), settings), max_size=most, unique_by=lambda one: one[0]))
    return [PlannedChange(now + timedelta(seconds=seconds), updates) for seconds, updates in ahead]


@st.composite
def lives(draw: st.DrawFn) -> Life:
    life = Life()
    for _ in range(draw(st.integers(min_value=0, max_value=10))):
        life.wait(draw(lengths))
        match draw(st.sampled_from(["plan", "plan", "record", "edit"])):
            case "plan":
                if planned := draw(changes(life.now)):
                    life.plan(planned)
            case "record":
                life.record()
            case "edit":
                life.edit(draw(st.none() | settings))
    return life


instants = st.integers(min_value=-2_000, max_value=60_000).map(lambda milliseconds: after(milliseconds / 1000))
