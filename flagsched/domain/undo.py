"""What undoing entries of the history sets back, judged by what was changed since."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from flagsched.domain.errors import ChangedSince, NothingToUndo
from flagsched.domain.history import Document, StoredEntry
from flagsched.domain.overrides import NAMES, Override, OverrideType

Values: TypeAlias = Mapping[str, Any]
"""Values by their names in JSON."""
SETTINGS = ("enabled", "rolloutPercentage", "description")
SCHEDULED = ("scheduledAt", "updates", "override", "onlyIf")
SET = "override"


@dataclass(frozen=True, slots=True)
class Undoing:
    """What is to be set back: by name what each value was before, and what it was made then."""

    before: Values
    then: Values

    @classmethod
    def of(cls, before: Values | None, then: Values | None, names: Collection[str]) -> Self:
        """Set back what was changed of the values of these names; of nothing, if nothing was."""
        was, became = before or {}, then or {}
        changed = [name for name in names if was.get(name) != became.get(name)]
        return cls({name: was.get(name) for name in changed}, {name: became.get(name) for name in changed})

    @classmethod
    def of_all(cls, undoings: Iterable["Undoing"]) -> Self:
        """Set back what several did, one after the other."""
        before: dict[str, Any] = {}
        then: dict[str, Any] = {}
        for one in undoings:
            before = {**one.before, **before}
            then |= one.then
        return cls.of(before, then, before)

    def conflicts(self, now: Values) -> dict[str, Values]:
        """What was changed since: it is neither as it was made then, nor as it was before."""
        return {
            name: {"then": self.then[name], "before": before, "now": now.get(name)}
            for name, before in self.before.items()
            if now.get(name) not in (self.then[name], before)
        }

    def missing(self, now: Values) -> Values:
        """What is to be set, so that all is as before."""
        return {name: before for name, before in self.before.items() if now.get(name) != before}

    def back(self, now: Values, *, force: bool) -> Values:
        """The same; ChangedSince unless it is forced, NothingToUndo if all is as before."""
        if not force and (conflicts := self.conflicts(now)):
            raise ChangedSince(conflicts)
        if back := self.missing(now):
            return back
        raise NothingToUndo("all is as it was before" if self.before else "it changed no value")


@dataclass(frozen=True, slots=True)
class UserUndoing:
    """The override of a user that is to be set back, with the reason that it had."""

    user_id: str
    undoing: Undoing
    reason: str

    @classmethod
    def of(cls, entry: StoredEntry) -> Self | None:
        """What an entry changed of an override; None if it changed none."""
        before, after = _override_in(entry.before), _override_in(entry.after)
        if before is None and after is None:
            return None
        was, then = before or NOBODY, after or NOBODY
        user_id = (after or was)["userId"]
        return cls(user_id, Undoing.of(was, then, [SET]), was.get("reason", ""))


NOBODY: Mapping[str, str] = {SET: NAMES[None]}
"""A user who is treated like all others."""


def differences(then: Values | None, now: Values, names: Collection[str]) -> dict[str, Values]:
    """What is no longer as it was made then, by an entry before which there was nothing."""
    made = then or {}
    return {
        name: {"then": made.get(name), "before": None, "now": now.get(name)}
        for name in names
        if now.get(name) != made.get(name)
    }


def set_of(override: Override | None) -> Values:
    """What is set for a user."""
    kind: OverrideType | None = override.kind if override else None
    return {SET: NAMES[kind]}


def _override_in(document: Document | None) -> Mapping[str, str] | None:
    """A user and what is set for him, in the document of an override, or of a state that has one."""
    match document:
        case {"userId": str(user_id), "override": str(kind), **others}:
            return {"userId": user_id, SET: kind, "reason": str(others.get("reason", ""))}
        case {"override": {"userId": str(user_id), "set": str(kind)}}:
            return {"userId": user_id, SET: kind}
    return None
