"""History entries: exactly one for each accepted change."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from flagsched.domain.agenda import AnySchedule
from flagsched.domain.flags import Flag, FlagName, FlagState
from flagsched.domain.holds import Hold
from flagsched.domain.instants import rfc3339
from flagsched.domain.overrides import Override, OverrideChange
from flagsched.domain.schedules import Schedule
from flagsched.domain.timeline import Failed, Skipped, Step
from flagsched.domain.updates import FIELDS, Updates, read_updates

NO_FLAG = UUID(int=0)
"""Of entries about all flags of an environment, whose name has an empty key."""
SYSTEM_ACTOR = "flagsched"
"""Who applies schedules, whichever process records it."""

Subject: TypeAlias = Flag | FlagState | Schedule | Override | Hold
"""What a change concerns, as it was before or is after it."""
Document: TypeAlias = dict[str, Any]
"""A subject as JSON, as it is stored and answered."""


class Action(StrEnum):
    """What happened to a flag or to one of its schedules."""

    FLAG_CREATED = "flag.created"
    FLAG_UPDATED = "flag.updated"
    FLAG_ARCHIVED = "flag.archived"
    FLAG_RESTORED = "flag.restored"
    SCHEDULE_CREATED = "schedule.created"
    SCHEDULE_UPDATED = "schedule.updated"
    SCHEDULE_CANCELLED = "schedule.cancelled"
    SCHEDULE_APPLIED = "schedule.applied"
    SCHEDULE_FAILED = "schedule.failed"
    SCHEDULE_SKIPPED = "schedule.skipped"
    OVERRIDE_SET = "override.set"
    OVERRIDE_REMOVED = "override.removed"
    HOLD_PLACED = "hold.placed"
    HOLD_UPDATED = "hold.updated"
    HOLD_RELEASED = "hold.released"


STATE_CHANGES = (
    Action.FLAG_CREATED,
    Action.FLAG_UPDATED,
    Action.FLAG_ARCHIVED,
    Action.FLAG_RESTORED,
    Action.SCHEDULE_APPLIED,
)
"""What makes a new version of a flag."""
HOLD_ACTIONS = (Action.HOLD_PLACED, Action.HOLD_UPDATED, Action.HOLD_RELEASED)
"""What happens to holds, those of an environment too."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asked for a change, and in which request."""

    name: str
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Exemption:
    """Why an edit was made although a hold refuses edits."""

    hold_id: UUID
    reason: str

    def as_json(self) -> Document:
        """As the history has it, beside what the edit made."""
        return {"despiteHold": {"holdId": str(self.hold_id), "reason": self.reason}}


@dataclass(frozen=True, slots=True)
class Entry:
    """A change that is to be recorded: in effect at `effective_at`, recorded at `recorded_at`."""

    flag_id: UUID
    name: FlagName
    action: Action
    schedule_id: UUID | None
    flag_version: int
    before: Subject | None
    after: Subject | None
    actor: str
    request_id: str | None
    effective_at: datetime
    recorded_at: datetime
    undoes: int | None = None
    """The number of the entry that it undoes."""
    exemption: Exemption | None = None


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it stands in the history, under its number."""

    id: int
    flag_id: UUID
    name: FlagName
    action: Action
    schedule_id: UUID | None
    flag_version: int
    before: Document | None
    after: Document | None
    actor: str
    request_id: str | None
    effective_at: datetime
    recorded_at: datetime
    undoes: int | None

    @property
    def flag_key(self) -> str | None:
        """Its flag's key; None for what concerns all flags of the environment."""
        return self.name.key or None


@dataclass(frozen=True, slots=True)
class StateChange:
    """An entry of STATE_CHANGES: the state that it made, and whether that is the flag's end."""

    entry_id: int
    schedule_id: UUID | None
    state: FlagState
    archives: bool = False


def flag_entry(
    before: Flag | None,
    after: Flag,
    *,
    by: Actor,
    recorded_at: datetime,
    exemption: Exemption | None = None,
    undoes: int | None = None,
) -> Entry:
    """The entry for a change of the flag itself by an admin; `before` is None at its creation."""
    return Entry(
        flag_id=after.id,
        name=after.name,
        action=_flag_action(before, after),
        schedule_id=None,
        flag_version=after.state.version,
        before=before,
        after=after,
        actor=by.name,
        request_id=by.request_id,
        effective_at=after.state.changed_at,
        recorded_at=recorded_at,
        exemption=exemption,
        undoes=undoes,
    )


def schedule_entry(
    flag: Flag,
    before: Schedule | None,
    after: Schedule,
    *,
    by: Actor,
    recorded_at: datetime,
    undoes: int | None = None,
) -> Entry:
    """The entry for a schedule that is created (without `before`), edited or cancelled. The flag keeps its version."""
    action = _schedule_action(before, after)
    return _entry(flag, action, before, after, by=by, recorded_at=recorded_at, schedule_id=after.id, undoes=undoes)


def override_entry(
    flag: Flag,
    before: Override | None,
    after: Override | None,
    *,
    by: Actor,
    recorded_at: datetime,
    exemption: Exemption | None = None,
    undoes: int | None = None,
) -> Entry:
    """The entry for an override that is set, or removed (`after` is None). The flag keeps its version."""
    action = Action.OVERRIDE_REMOVED if after is None else Action.OVERRIDE_SET
    entry = _entry(flag, action, before, after, by=by, recorded_at=recorded_at, undoes=undoes)
    return replace(entry, exemption=exemption)


def hold_entry(before: Hold | None, after: Hold, flag: Flag | None, *, by: Actor, recorded_at: datetime) -> Entry:
    """The entry for a hold that is placed (without `before`), edited or released; `flag` is its own, if it has one."""
    return Entry(
        flag_id=flag.id if flag else NO_FLAG,
        name=flag.name if flag else FlagName(after.environment, ""),
        action=_hold_action(before, after),
        schedule_id=None,
        flag_version=flag.state.version if flag else 0,
        before=before,
        after=after,
        actor=by.name,
        request_id=by.request_id,
        effective_at=flag.now(recorded_at) if flag else recorded_at,
        recorded_at=recorded_at,
    )


def _hold_action(before: Hold | None, after: Hold) -> Action:
    if before is None:
        return Action.HOLD_PLACED
    return Action.HOLD_UPDATED if after.released_at is None else Action.HOLD_RELEASED


def _entry(
    flag: Flag,
    action: Action,
    before: Subject | None,
    after: Subject | None,
    *,
    by: Actor,
    recorded_at: datetime,
    undoes: int | None,
    schedule_id: UUID | None = None,
) -> Entry:
    return Entry(
        flag_id=flag.id,
        name=flag.name,
        action=action,
        schedule_id=schedule_id,
        flag_version=flag.state.version,
        before=before,
        after=after,
        actor=by.name,
        request_id=by.request_id,
        effective_at=flag.now(recorded_at),
        recorded_at=recorded_at,
        undoes=undoes,
    )


def _flag_action(before: Flag | None, after: Flag) -> Action:
    if before is None:
        return Action.FLAG_CREATED
    if after.archived_at:
        return Action.FLAG_ARCHIVED
    return Action.FLAG_RESTORED if before.archived_at else Action.FLAG_UPDATED


def _schedule_action(before: Schedule | None, after: Schedule) -> Action:
    if before is None:
        return Action.SCHEDULE_CREATED
    return Action.SCHEDULE_UPDATED if after.pending else Action.SCHEDULE_CANCELLED


def document_of(subject: Subject) -> Document:
    """A subject as the history stores it."""
    match subject:
        case FlagState():
            return {"enabled": subject.enabled, "rolloutPercentage": subject.rollout_percentage}
        case Flag():
            archived = subject.archived_at is not None
            return document_of(subject.state) | {"description": subject.description, "archived": archived}
        case Schedule():
            sets = subject.updates.as_json()
            named = sets if isinstance(subject.updates, OverrideChange) else {"updates": sets}
            condition = subject.updates.only_if
            asked = {"onlyIf": condition.as_json()} if condition else {}
            at = {"scheduledAt": rfc3339(subject.scheduled_at)}
            return {**at, **(named or {}), **asked, "status": subject.status.value}
        case Override():
            return {"userId": subject.user_id, "override": subject.kind.value, "reason": subject.reason}
        case Hold():
            return {
                "holdId": str(subject.id),
                "from": rfc3339(subject.starts_at),
                "until": rfc3339(subject.ends_at) if subject.ends_at else None,
                "then": subject.at_end.value,
                "reason": subject.reason,
                "refuseEdits": subject.refuses_edits,
            }


def documents_of(step: Step[AnySchedule]) -> tuple[Document, Document]:
    """Before and after of the entry for a schedule that has ended by its instant."""
    before, after = document_of(step.before), document_of(step.after)
    if isinstance(step.outcome, Failed):
        return before, after | {"errorMessage": step.outcome.reason}
    if isinstance(step.outcome, Skipped):
        return before, after | {"statusReason": step.outcome.reason}
    if step.after.overrides and (change := step.schedule.override):
        was = OverrideChange(change.user_id, step.before.override_of(change.user_id))
        return before | was.as_json(), after | change.as_json()
    return before, after


def state_of(document: Mapping[str, Any], version: int, changed_at: datetime) -> FlagState | None:
    """The state that the document of a flag or a state holds; None if it holds none."""
    updates = read_updates({name: document.get(name) for name in FIELDS})
    if not isinstance(updates, Updates):
        return None
    return FlagState(bool(updates.enabled), updates.rollout_percentage or 0, version, changed_at)
