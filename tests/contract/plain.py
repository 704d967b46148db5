"""A plain model of what flagsched promises: lists and dictionaries, and no thought of databases."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

Settings = dict[str, Any]


@dataclass
class PlainSchedule:
    at: datetime
    seq: int
    sets: Settings | None
    """None if somebody has made it unreadable."""
    only_if: Settings = field(default_factory=dict)
    planned_version: int = 0
    status: str = "pending"


@dataclass
class PlainHold:
    """A stretch of time without changes; of all flags if it has no key."""

    key: str | None
    start: datetime
    end: datetime | None
    skips: bool
    freezes: bool
    released: bool = False

    def covers(self, at: datetime) -> bool:
        """Is the instant in it?"""
        return self.start <= at and (self.end is None or at < self.end)

    def is_over(self, at: datetime) -> bool:
        """Has it ended, for good?"""
        return self.released or (self.end is not None and self.end <= at)


NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class PlainFlag:
    """What is written of a flag, and what is planned."""

    now: Settings
    version: int
    changed_at: datetime
    plan: list[PlainSchedule] = field(default_factory=list)
    changes: list[tuple[datetime, tuple[bool, int, int]]] = field(default_factory=list)
    users: dict[str, str] = field(default_factory=dict)
    """Who is included and who excluded."""
    edited_version: int = 0
    edits: list[tuple[int, Settings, Settings]] = field(default_factory=list)
    """Those by hand: the number of the entry, and the settings before and after."""
    holds: list[PlainHold] = field(default_factory=list)
    """All that bear on it, those of its environment too."""

    def __post_init__(self) -> None:
        if not self.changes:
            self.changes = [(self.changed_at, self.told)]

    def seen(self, clock: datetime) -> tuple[bool, int, int]:
        """What a reader is told at `clock`."""
        return self._recorded(clock).told

    def settings_at(self, clock: datetime) -> Settings:
        """What it is set to at `clock`."""
        return self._recorded(clock).now

    def seen_users(self, clock: datetime) -> dict[str, str]:
        """Who is set apart at `clock`."""
        return self._recorded(clock).users

    def _recorded(self, clock: datetime) -> "PlainFlag":
        plan, changes = [replace(s) for s in self.plan], list(self.changes)
        shown = replace(self, now=dict(self.now), plan=plan, changes=changes, users=dict(self.users))
        shown.record(clock)
        return shown

    def lands(self, schedule: PlainSchedule) -> tuple[datetime, bool]:
        """When a schedule comes, and whether a hold has it skipped then."""
        at, skipped = schedule.at, False
        while covering := [hold for hold in self.holds if hold.covers(at)]:
            skipped = skipped or any(hold.skips for hold in covering)
            at = max(hold.end or NEVER for hold in covering)
            if at == NEVER:
                break
        return at, skipped

    def frozen(self, clock: datetime) -> bool:
        """Are edits by hand refused?"""
        return any(hold.freezes and hold.covers(max(clock, self.changed_at)) for hold in self.holds)

    def due(self, clock: datetime) -> list[PlainSchedule]:
        """What has come at `clock` and is not written down."""
        present = max(clock, self.changed_at)
        return [s for s in self.plan if s.status == "pending" and self.lands(s)[0] <= present]

    def is_ahead(self, schedule: PlainSchedule, clock: datetime) -> bool:
        """Has it not come yet?"""
        return schedule.status == "pending" and schedule not in self.due(clock)

    def changed_by(self, schedule: PlainSchedule, clock: datetime) -> bool:
        """Is the schedule in effect?"""
        return self.ending(schedule, clock) == "applied"

    def ending(self, schedule: PlainSchedule, clock: datetime) -> str:
        """What has become of a schedule at `clock`."""
        return self._recorded(clock).plan[self.plan.index(schedule)].status

    def meets(self, schedule: PlainSchedule) -> bool:
        """Is the flag as the schedule's condition wants it?"""
        asked, bounds = schedule.only_if, schedule.only_if.get("rolloutPercentage", {})
        if "enabled" in asked and asked["enabled"] != self.now["enabled"]:
            return False
        if not bounds.get("atLeast", 0) <= self.now["rolloutPercentage"] <= bounds.get("atMost", 100):
            return False
        return "unedited" not in asked or self.edited_version <= schedule.planned_version

    def record(self, clock: datetime) -> list[str]:
        """Write down what is in effect; give what the history says of it."""
        due = self.due(clock)
        for schedule in sorted(due, key=lambda s: (s.at, s.seq)):
            at, skipped = self.lands(schedule)
            if skipped:
                schedule.status = "skipped"
            elif schedule.sets is None:
                schedule.status = "failed"
            elif not self.meets(schedule):
                schedule.status = "skipped"
            else:
                schedule.status = "applied"
                self.change(schedule.sets, at)
        return [f"schedule.{schedule.status}" for schedule in due]

    def change(self, sets: Settings, at: datetime) -> None:
        """One version more, in effect from `at`."""
        if "override" in sets:
            self.set_apart(sets["override"]["userId"], sets["override"]["set"])
        else:
            self.now |= sets
        self.version += 1
        self.changed_at = at
        self.changes.append((at, self.told))

    def edit(self, entry_id: int, sets: Settings, at: datetime) -> None:
        """A change by hand."""
        before = dict(self.now)
        self.change(sets, at)
        self.edited_version = self.version
        self.edits.append((entry_id, before, dict(self.now)))

    def set_apart(self, user: str, sets: str) -> None:
        """Include or exclude a user, or treat him like all others again."""
        self.users.pop(user, None)
        if sets != "remove":
            self.users[user] = sets

    @property
    def told(self) -> tuple[bool, int, int]:
        """The state as it is written."""
        return self.now["enabled"], self.now["rolloutPercentage"], self.version

    def was(self, at: datetime) -> tuple[bool, int, int]:
        """What it was at an instant of the past that is written down."""
        return [told for turned_at, told in self.changes if turned_at <= at][-1]


class PlainWorld:
    """All flags that ever were, and how often what was told in the history."""

    def __init__(self) -> None:
        self.flags: dict[str, PlainFlag] = {}
        self.told: Counter[str] = Counter()
        self.holds: dict[UUID, PlainHold] = {}

    def bearing_on(self, key: str | None) -> list[PlainFlag]:
        """The flag of that key; without one, all."""
        return [self.flags[key]] if key else [*self.flags.values()]

    def record(self, key: str, clock: datetime) -> PlainFlag:
        """What every writer does first."""
        flag = self.flags[key]
        self.told.update(flag.record(clock))
        return flag

    def tick(self, clock: datetime) -> None:
        """What a worker does."""
        for key, flag in self.flags.items():
            if any(s.status == "pending" and flag.lands(s)[0] <= clock for s in flag.plan):
                self.record(key, clock)
