"""History entries: exactly one for each accepted change."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from flagsched.domain.flags import Flag, FlagName, FlagState
from flagsched.domain.instants import rfc3339
from flagsched.domain.overrides import Override
from flagsched.domain.schedules import Schedule
from flagsched.domain.timeline import AnySchedule, Replay, Step
from flagsched.domain.updates import UnreadableUpdates

SYSTEM_ACTOR = "flagsched"
"""Who applies schedules, whichever process writes it down."""


class Action(StrEnum):
    """What happened to a flag or to one of its schedules."""

    FLAG_CREATED = "flag.created"
    FLAG_UPDATED = "flag.updated"
    FLAG_ARCHIVED = "flag.archived"
    SCHEDULE_CREATED = "schedule.created"
    SCHEDULE_UPDATED = "schedule.updated"
    SCHEDULE_CANCELLED = "schedule.cancelled"
    SCHEDULE_APPLIED = "schedule.applied"
    SCHEDULE_FAILED = "schedule.failed"
    OVERRIDE_SET = "override.set"
    OVERRIDE_REMOVED = "override.removed"


STATE_CHANGES = (Action.FLAG_CREATED, Action.FLAG_UPDATED, Action.SCHEDULE_APPLIED)
"""What makes a new version of a flag that lives on."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asked for a change, and in which request."""

    name: str
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened, in effect at `effective_at`, written down at `recorded_at`."""

    flag_id: UUID
    name: FlagName
    action: Action
    schedule_id: UUID | None
    flag_version: int
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    actor: str
    request_id: str | None
    effective_at: datetime
    recorded_at: datetime


class Ending(NamedTuple):
    """How a schedule of a flag ended by its instant: it was applied, unless there is a reason why it failed."""

    flag_id: UUID
    seq: int
    flag_version: int
    before: dict[str, Any]
    after: dict[str, Any]
    reason: str | None
    effective_at: datetime


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as it stands in the history, under its number."""

    id: int
    entry: Entry


def flag_entry(before: Flag | None, after: Flag, *, by: Actor, recorded_at: datetime) -> Entry:
    """The entry for a change of the flag itself by an admin; `before` is None at its creation."""
    return Entry(
        flag_id=after.id,
        name=after.name,
        action=_flag_action(before, after),
        schedule_id=None,
        flag_version=after.state.version,
        before=None if before is None else _told(before),
        after=_told(after),
        actor=by.name,
        request_id=by.request_id,
        effective_at=after.state.changed_at,
        recorded_at=recorded_at,
    )


def schedule_entry(flag: Flag, before: Schedule | None, after: Schedule, *, by: Actor, recorded_at: datetime) -> Entry:
    """The entry for a change of the plan by an admin; `before` is None at its creation. The flag keeps its version."""
    return Entry(
        flag_id=flag.id,
        name=flag.name,
        action=_schedule_action(before, after),
        schedule_id=after.id,
        flag_version=flag.state.version,
        before=None if before is None else told_plan(before),
        after=told_plan(after),
        actor=by.name,
        request_id=by.request_id,
        effective_at=flag.now(recorded_at),
        recorded_at=recorded_at,
    )


def override_entry(
    flag: Flag, before: Override | None, after: Override | None, *, by: Actor, recorded_at: datetime
) -> Entry:
    """The entry for a user who is set apart, or is not any more. The flag keeps its version."""
    return Entry(
        flag_id=flag.id,
        name=flag.name,
        action=Action.OVERRIDE_REMOVED if after is None else Action.OVERRIDE_SET,
        schedule_id=None,
        flag_version=flag.state.version,
        before=None if before is None else before.told(),
        after=None if after is None else after.told(),
        actor=by.name,
        request_id=by.request_id,
        effective_at=flag.now(recorded_at),
        recorded_at=recorded_at,
    )


def endings(replayed: Replay[AnySchedule]) -> list[Ending]:
    """How the schedules that were folded ended: each is in effect since its instant, or failed for a reason."""
    return [_ending(replayed.flag.id, step) for step in replayed.steps]


def _ending(flag_id: UUID, step: Step[AnySchedule]) -> Ending:
    updates = step.schedule.updates
    reason = updates.reason if isinstance(updates, UnreadableUpdates) else None
    after = _settings(step.after)
    return Ending(
        flag_id,
        step.schedule.seq,
        step.after.version,
        _settings(step.before),
        after if reason is None else after | {"errorMessage": reason},
        reason,
        step.effective_at,
    )


def _flag_action(before: Flag | None, after: Flag) -> Action:
    if before is None:
        return Action.FLAG_CREATED
    return Action.FLAG_ARCHIVED if after.archived_at else Action.FLAG_UPDATED


def _schedule_action(before: Schedule | None, after: Schedule) -> Action:
    if before is None:
        return Action.SCHEDULE_CREATED
    return Action.SCHEDULE_UPDATED if after.pending else Action.SCHEDULE_CANCELLED


def _settings(state: FlagState) -> dict[str, Any]:
    return {"enabled": state.enabled, "rolloutPercentage": state.rollout_percentage}


def _told(flag: Flag) -> dict[str, Any]:
    return _settings(flag.state) | {"description": flag.description, "archived": flag.archived_at is not None}


def told_plan(schedule: Schedule) -> dict[str, Any]:
    """What an entry tells of a schedule."""
    return {
        "scheduledAt": rfc3339(schedule.scheduled_at),
        "updates": schedule.updates.as_json(),
        "status": schedule.status.value,
    }
