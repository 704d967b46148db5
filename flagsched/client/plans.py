"""Plans over HTTP: what applying a file changes, or would change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from flagsched.client.errors import Refused, ServerFailed
from flagsched.client.plan_files import PlanFile
from flagsched.client.server import Server


class Mark(StrEnum):
    """What becomes of a change."""

    CANCEL = "-"
    ADD = "+"
    KEEP = "="
    IN_EFFECT = "."
    FAILED = "!"
    SKIPPED = "~"


ORDER = list(Mark)
ENDED = {"failed": Mark.FAILED, "skipped": Mark.SKIPPED}
BOUNDS = {"atLeast": "at least", "atMost": "at most"}


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one flag, as the server tells of it; `local` is what the clocks show there."""

    mark: Mark
    at: datetime
    local: datetime | None
    zone: str | None
    environment: str
    flag: str
    sets: str
    at_once: bool = False

    @property
    def place(self) -> tuple[datetime, str, str, int]:
        """By what changes are sorted."""
        return self.at, self.environment, self.flag, ORDER.index(self.mark)


@dataclass(frozen=True, slots=True)
class AppliedPlan:
    """What the plan of a file has become, or would become; `answer` is the server's own."""

    name: str
    created: bool
    changed: bool
    changes: Sequence[Change]
    answer: Mapping[str, Any]

    @classmethod
    def of(cls, name: str, answer: Mapping[str, Any]) -> Self:
        """Read an answer; KeyError, TypeError or ValueError if it is not one."""
        changes = [
            *(_change(one, Mark.ADD) for one in answer["added"]),
            *(_change(one, Mark.CANCEL) for one in answer["cancelled"]),
            *(_change(one, _kept(one)) for one in answer["kept"]),
        ]
        ordered = sorted(changes, key=lambda one: one.place)
        return cls(name, bool(answer["created"]), bool(answer["changed"]), ordered, answer)

    def count(self, *marks: Mark) -> int:
        """How many changes have one of these marks."""
        return sum(one.mark in marks for one in self.changes)

    @property
    def at_once(self) -> int:
        """How many changes are in effect as soon as the plan is applied."""
        return sum(one.at_once for one in self.changes)

    def does_the_same_as(self, other: "AppliedPlan") -> bool:
        """Does it add and cancel the same? Their instants may differ: a plan may start when it is created."""
        return self._done() == other._done()

    def _done(self) -> list[tuple[Mark, str, str, str]]:
        marks = (Mark.ADD, Mark.CANCEL)
        return sorted((one.mark, one.environment, one.flag, one.sets) for one in self.changes if one.mark in marks)


def apply_plan(server: Server, file: PlanFile, *, dry_run: bool) -> AppliedPlan:
    """Make the plan of the file's name be what the file says, or ask what that would change.

    Raises FileRefused, ServerFailed.
    """
    try:
        answer = server.put(f"/api/admin/named-plans/{file.name}", file.body, dryRun=str(dry_run).lower())
        return AppliedPlan.of(file.name, answer)
    except Refused as error:
        raise file.refused(str(error), error.details) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"{server.url} answers in another way than this flagsched expects: are both of the same release?"
        raise ServerFailed(message) from error


def _kept(schedule: Mapping[str, Any]) -> Mark:
    if schedule["status"] in ENDED:
        return ENDED[schedule["status"]]
    return Mark.IN_EFFECT if schedule["inEffect"] else Mark.KEEP


def _change(schedule: Mapping[str, Any], mark: Mark) -> Change:
    local = schedule.get("localTime")
    return Change(
        mark,
        at=datetime.fromisoformat(schedule["scheduledAt"]),
        local=datetime.fromisoformat(local) if local else None,
        zone=schedule.get("timeZone"),
        environment=str(schedule["environment"]),
        flag=str(schedule["flagKey"]),
        sets=_sets(schedule),
        at_once=mark is Mark.ADD and bool(schedule["inEffect"]),
    )


def _sets(schedule: Mapping[str, Any]) -> str:
    condition = schedule.get("onlyIf")
    return f"{_change_of(schedule)}{f' only if {_condition_of(condition)}' if condition else ''}"


def _change_of(schedule: Mapping[str, Any]) -> str:
    if override := schedule.get("override"):
        return f"{override['set']} {override['userId']}"
    updates = schedule["updates"] or {}
    percentage = [f"{updates['rolloutPercentage']} %"] if "rolloutPercentage" in updates else []
    return ", ".join([*_switch(updates), *percentage])


def _condition_of(condition: Mapping[str, Any]) -> str:
    bounds = condition.get("rolloutPercentage", {})
    percentages = [f"{word} {bounds[name]} %" for name, word in BOUNDS.items() if name in bounds]
    return ", ".join([*_switch(condition), *percentages, *(["unedited"] if condition.get("unedited") else [])])


def _switch(settings: Mapping[str, Any]) -> list[str]:
    return ["on" if settings["enabled"] else "off"] if "enabled" in settings else []
