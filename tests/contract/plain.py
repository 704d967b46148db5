"""A plain model of what flagsched promises: lists and dictionaries, and no thought of databases."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

Settings = dict[str, Any]


@dataclass
class PlainSchedule:
    at: datetime
    seq: int
    sets: Settings | None
    """None if somebody has made it unreadable."""
    status: str = "pending"


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

    def __post_init__(self) -> None:
        if not self.changes:
            self.changes = [(self.changed_at, self.told)]

    def seen(self, clock: datetime) -> tuple[bool, int, int]:
        """What a reader is told at `clock`."""
        return self._recorded(clock).told

    def seen_users(self, clock: datetime) -> dict[str, str]:
        """Who is set apart at `clock`."""
        return self._recorded(clock).users

    def _recorded(self, clock: datetime) -> "PlainFlag":
        plan, changes = [replace(s) for s in self.plan], list(self.changes)
        shown = replace(self, now=dict(self.now), plan=plan, changes=changes, users=dict(self.users))
        shown.record(clock)
        return shown

    def due(self, clock: datetime) -> list[PlainSchedule]:
        """What is in effect at `clock` and not written down."""
        present = max(clock, self.changed_at)
        return [s for s in self.plan if s.status == "pending" and s.at <= present]

    def is_ahead(self, schedule: PlainSchedule, clock: datetime) -> bool:
        """Has it not come yet?"""
        return schedule.status == "pending" and schedule not in self.due(clock)

    def changed_by(self, schedule: PlainSchedule, clock: datetime) -> bool:
        """Is the schedule in effect?"""
        return schedule.status == "applied" or (schedule in self.due(clock) and schedule.sets is not None)

    def record(self, clock: datetime) -> list[str]:
        """Write down what is in effect; give what the history says of it."""
        due = self.due(clock)
        for schedule in sorted(due, key=lambda s: (s.at, s.seq)):
            if schedule.sets is None:
                schedule.status = "failed"
            else:
                schedule.status = "applied"
                self.change(schedule.sets, schedule.at)
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

    def record(self, key: str, clock: datetime) -> PlainFlag:
        """What every writer does first."""
        flag = self.flags[key]
        self.told.update(flag.record(clock))
        return flag

    def tick(self, clock: datetime) -> None:
        """What a worker does."""
        for key, flag in self.flags.items():
            if any(s.status == "pending" and s.at <= clock for s in flag.plan):
                self.record(key, clock)
