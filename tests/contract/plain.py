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
    sets: Settings
    status: str = "pending"


@dataclass
class PlainFlag:
    """What is written of a flag, and what is planned."""

    now: Settings
    version: int
    changed_at: datetime
    plan: list[PlainSchedule] = field(default_factory=list)

    def seen(self, clock: datetime) -> tuple[bool, int, int]:
        """What a reader is told at `clock`."""
        shown = replace(self, now=dict(self.now), plan=[replace(s) for s in self.plan])
        shown.record(clock)
        return shown.now["enabled"], shown.now["rolloutPercentage"], shown.version

    def due(self, clock: datetime) -> list[PlainSchedule]:
        """What is in effect at `clock` and not written down."""
        present = max(clock, self.changed_at)
        return [s for s in self.plan if s.status == "pending" and s.at <= present]

    def record(self, clock: datetime) -> list[str]:
        """Write down what is in effect; give what the history says of it."""
        due = self.due(clock)
        for schedule in sorted(due, key=lambda s: (s.at, s.seq)):
            self.now |= schedule.sets
            self.version += 1
            self.changed_at = schedule.at
            schedule.status = "applied"
        return ["schedule.applied"] * len(due)


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
