"""Values that are valid by default and show only what matters to a test."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from flagsched.domain.flags import Flag, FlagName, FlagState, NewFlag
from flagsched.domain.history import Actor
from flagsched.domain.holds import AtEnd, Hold
from flagsched.domain.overrides import SETS, OverrideChange
from flagsched.domain.schedules import PlannedChange, Schedule, Status
from flagsched.domain.updates import Change, UnreadableUpdates, Updates

# After every real clock: PostgreSQL looks at its own at each COMMIT, and must find plans ahead.
NOON = datetime(2096, 6, 1, 12, 0, tzinfo=UTC)
ADMIN = Actor("ada", "request-1")
CHECKOUT = FlagName("production", "new-checkout")
SECRET = "a-key-for-tests-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_ids = (UUID(int=n) for n in count(1))


@dataclass
class ManualClock:
    """A clock that stands still until it is moved."""

    at: datetime = field(default=NOON)

    def __call__(self) -> datetime:
        return self.at

    def advance(self, **length: float) -> None:
        self.at += timedelta(**length)


def after(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def a_state(
    *, enabled: bool = False, percentage: int = 100, version: int = 1, changed_at: datetime = NOON
) -> FlagState:
    return FlagState(enabled, percentage, version, changed_at)


def a_flag(*, state: FlagState | None = None, next_due_at: datetime | None = None, name: FlagName = CHECKOUT) -> Flag:
    return Flag(
        id=next(_ids),
        name=name,
        description="",
        state=state or a_state(),
        last_seq=0,
        next_due_at=next_due_at,
        created_at=NOON,
    )


def a_schedule(
    *,
    at: datetime | None = None,
    seq: int = 1,
    updates: Change | UnreadableUpdates | None = None,
    status: Status = Status.PENDING,
    **other: Any,
) -> Schedule:
    return Schedule(
        id=next(_ids),
        flag_id=UUID(int=0),
        seq=seq,
        batch_id=None,
        scheduled_at=at or after(60),
        updates=updates or Updates(enabled=True),
        status=status,
        created_by="ada",
        created_at=NOON,
        updated_at=NOON,
        **other,
    )


def a_change(at: datetime, **updates: Any) -> PlannedChange:
    return PlannedChange(at, Updates(**(updates or {"enabled": True})))


def a_hold(starts_at: datetime, ends_at: datetime | None = None, at_end: AtEnd = AtEnd.CATCH_UP) -> Hold:
    return Hold(
        id=next(_ids),
        environment="production",
        flag_id=next(_ids),
        plan_id=None,
        starts_at=starts_at,
        ends_at=ends_at,
        at_end=at_end,
        reason="it burns",
        refuses_edits=False,
        created_by="ada",
        created_at=starts_at,
        updated_at=starts_at,
    )


def an_override_change(at: datetime, user_id: str = "ada", sets: str = "include") -> PlannedChange:
    return PlannedChange(at, OverrideChange(user_id, SETS[sets]))


def a_new_flag(key: str = "new-checkout", environment: str = "production", **values: Any) -> NewFlag:
    return NewFlag(FlagName(environment, key), **values)
