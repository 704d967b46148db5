"""Schedules: what is asked for, what is stored, and how an accepted batch is numbered."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self
from uuid import UUID

from flagsched.domain.conditions import Condition
from flagsched.domain.durations import Duration
from flagsched.domain.errors import (
    AlreadyApplied,
    AlreadyCancelled,
    AlreadyFailed,
    AlreadySkipped,
    DuplicateInstants,
    Path,
)
from flagsched.domain.flags import Flag, FlagName
from flagsched.domain.instants import to_milliseconds
from flagsched.domain.local_times import Fold, LocalTime, text_of, zone_named, zone_of
from flagsched.domain.overrides import OverrideChange
from flagsched.domain.updates import Change, UnreadableUpdates, planned_in

MAX_BATCH = 50


class Status(StrEnum):
    """A schedule is pending, then exactly one of the others, for good."""

    PENDING = "pending"
    APPLIED = "applied"
    CANCELLED = "cancelled"
    FAILED = "failed"
    SKIPPED = "skipped"


ENDINGS = {
    Status.APPLIED: AlreadyApplied,
    Status.CANCELLED: AlreadyCancelled,
    Status.FAILED: AlreadyFailed,
    Status.SKIPPED: AlreadySkipped,
}


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """What is asked for: at `scheduled_at` (kept in UTC, to the millisecond), set these updates, or this override."""

    scheduled_at: datetime
    updates: Change
    local: LocalTime | None = None
    """The local time that was asked for, if it was one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "scheduled_at", to_milliseconds(self.scheduled_at))

    @property
    def says_when(self) -> str:
        """The field of a request that says when."""
        return "localTime" if self.local else "scheduledAt"


@dataclass(frozen=True, slots=True)
class PlanItem:
    """One change of one flag that is asked for.

    The request has it at `place`, and says when at `path`, and which flag at `names_flag`.
    """

    name: FlagName
    change: PlannedChange
    path: Path
    place: Path = ()
    names_flag: Path = ()


@dataclass(frozen=True, slots=True)
class ScheduleEdit:
    """What an admin changes of a pending schedule: its instant, all that it sets; None leaves it as it is.

    `local` is the local time of the new instant, if that is asked for by one. `only_if` counts if `sets_condition`:
    None then leaves it without one.
    """

    scheduled_at: datetime | None = None
    updates: Change | None = None
    local: LocalTime | None = None
    sets_condition: bool = False
    only_if: Condition | None = None

    def __post_init__(self) -> None:
        if self.scheduled_at is not None:
            object.__setattr__(self, "scheduled_at", to_milliseconds(self.scheduled_at))

    @property
    def says_when(self) -> str:
        """The field of a request that says when."""
        return "localTime" if self.local else "scheduledAt"


@dataclass(frozen=True, slots=True)
class PendingSchedule:
    """A schedule of some flag that has not ended, with all that decides what it does."""

    seq: int
    scheduled_at: datetime
    updates: Change | UnreadableUpdates

    @property
    def pending(self) -> bool:
        """Has it not ended yet?"""
        return True

    @property
    def override(self) -> OverrideChange | None:
        """The override that it sets or removes, if that is what it does."""
        return self.updates if isinstance(self.updates, OverrideChange) else None

    def is_due(self, now: datetime) -> bool:
        """Has its instant come?"""
        return self.scheduled_at <= now


@dataclass(frozen=True, slots=True)
class Schedule(PendingSchedule):
    """What is stored: one planned change of one flag, and what became of it."""

    id: UUID
    flag_id: UUID
    batch_id: UUID | None
    status: Status
    created_by: str
    created_at: datetime
    updated_at: datetime
    applied_at: datetime | None = None
    flag_version: int | None = None
    status_reason: str | None = None
    """Why it has failed, or was skipped."""
    cancelled_by: str | None = None
    cancelled_at: datetime | None = None
    local_time: str | None = None
    """The local time that was asked for, if it was one, and its `time_zone`."""
    time_zone: str | None = None

    @property
    def pending(self) -> bool:
        """Has it not ended yet?"""
        return self.status is Status.PENDING

    @property
    def ended_by_instant(self) -> bool:
        """Has its instant come, and was it recorded?"""
        return self.status in (Status.APPLIED, Status.FAILED, Status.SKIPPED)

    def refuse_unless_pending(self) -> None:
        """Raise the error that names how it ended, if it did."""
        if not self.pending:
            raise ENDINGS[self.status](self.id)

    def edited(self, edit: "ScheduleEdit", flag: Flag, at: datetime) -> Self:
        """The schedule after an admin changed it; it keeps its number, and so its place on a tie.

        Raises ValueError for a condition of updates that can't be read.
        """
        updates = edit.updates.under(self.updates.only_if) if edit.updates else self.updates
        if edit.sets_condition:
            if isinstance(updates, UnreadableUpdates):
                raise ValueError("must be set together with updates or override: those that are stored can't be read")
            updates = planned_in(updates.under(edit.only_if), flag.state.version)
        edited = replace(self, updates=updates, updated_at=at)
        return edited if edit.scheduled_at is None else edited._moved(edit.scheduled_at, edit.local)

    def shifted(self, shift: Duration, at: datetime, fold: Fold | None = None) -> Self:
        """The schedule after it was moved by a length of time: by local days, if it was planned in local time.

        Raises ValueError if that ends at a local time which does not exist, or which exists twice without a `fold`.
        """
        edited = replace(self, updated_at=at)
        if self.time_zone is None:
            return edited._moved(shift.after(self.scheduled_at, None), None)
        moved = shift.after(self.scheduled_at, zone_named(self.time_zone), fold)
        return edited._moved(moved, LocalTime.of(moved, self.time_zone))

    def delayed(self, length: timedelta, at: datetime) -> Self:
        """The schedule after it was moved by an exact length of time; its local time is then another."""
        to = self.scheduled_at + length
        local = None if self.time_zone is None else LocalTime.of(to, self.time_zone)
        return replace(self, updated_at=at)._moved(to, local)

    def _moved(self, to: datetime, local: LocalTime | None) -> Self:
        return replace(self, scheduled_at=to, local_time=text_of(local), time_zone=zone_of(local))

    def cancelled(self, by: str, at: datetime) -> Self:
        """The schedule after its cancellation."""
        return replace(self, status=Status.CANCELLED, cancelled_by=by, cancelled_at=at, updated_at=at)


def items_of_batch(name: FlagName, changes: Sequence[PlannedChange]) -> list[PlanItem]:
    """The changes of a request that has them as `schedules`."""
    return [
        PlanItem(name, change, (*place, change.says_when), place)
        for place, change in ((("schedules", i), change) for i, change in enumerate(changes))
    ]


def refuse_duplicates(items: Iterable[PlanItem]) -> None:
    """Raise DuplicateInstants if two changes of a flag fall on one millisecond, whatever their offsets."""
    first: dict[tuple[FlagName, datetime], PlanItem] = {}
    pairs = ((item, first.setdefault((item.name, item.change.scheduled_at), item)) for item in items)
    if twins := {item.path: earlier.place for item, earlier in pairs if earlier is not item}:
        raise DuplicateInstants(twins)


def conflicts(drafts: Sequence[PlannedChange], pending: Iterable[Schedule]) -> list[Schedule]:
    """The pending schedules from the first to the last instant of the drafts that set what one of these sets too."""
    if not drafts:
        return []
    instants = [draft.scheduled_at for draft in drafts]
    first, last = min(instants), max(instants)
    targets = {target for draft in drafts for target in draft.updates.targets}
    return [s for s in pending if first <= s.scheduled_at <= last and targets & s.updates.targets]


def delayed_from(schedules: Iterable[Schedule], start: datetime, now: datetime) -> list[tuple[Schedule, Schedule]]:
    """Those planned from `start` on, each before and after it is moved by the time from then until now."""
    return [(one, one.delayed(now - start, now)) for one in schedules if one.scheduled_at >= start]


def set_apart(changes: Iterable[PlannedChange | PendingSchedule]) -> set[str]:
    """The users whom these include or exclude."""
    found = (change.updates for change in changes)
    return {one.user_id for one in found if isinstance(one, OverrideChange) and one.kind is not None}


def number_schedules(
    flag: Flag,
    changes: Sequence[PlannedChange],
    *,
    ids: Sequence[UUID],
    batch_id: UUID | None,
    by: str,
    at: datetime,
) -> list[Schedule]:
    """Number the changes as pending schedules of `flag`, in the order asked for.

    `ids` holds one new id for each change; `at` is the flag's present.
    """
    return [
        Schedule(
            id=schedule_id,
            flag_id=flag.id,
            seq=seq,
            batch_id=batch_id,
            scheduled_at=change.scheduled_at,
            updates=planned_in(change.updates, flag.state.version),
            status=Status.PENDING,
            created_by=by,
            created_at=at,
            updated_at=at,
            local_time=text_of(change.local),
            time_zone=zone_of(change.local),
        )
        for seq, (schedule_id, change) in enumerate(zip(ids, changes, strict=True), start=flag.last_seq + 1)
    ]
