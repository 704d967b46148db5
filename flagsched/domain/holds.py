"""Holds: stretches of time in which nothing planned takes effect on a flag, or on all flags of an environment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from flagsched.domain.errors import HoldOver
from flagsched.domain.instants import to_milliseconds
from flagsched.domain.updates import Updates

MAX_HOLDS = 100
"""Of one flag, and of one environment, that are not over: each change of a flag reads them."""


class AtEnd(StrEnum):
    """What becomes, at the end of a hold, of a schedule whose instant lay in it."""

    CATCH_UP = "catchUp"
    SKIP = "skip"


class Release(StrEnum):
    """What becomes, when a hold is released, of the schedules whose instants lay in it."""

    CATCH_UP = "catchUp"
    SKIP = "skip"
    SHIFT = "shift"


class HoldScope(StrEnum):
    """What a hold bears on."""

    FLAG = "flag"
    ENVIRONMENT = "environment"


class HoldStatus(StrEnum):
    """Where a hold stands at an instant."""

    UPCOMING = "upcoming"
    ACTIVE = "active"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Hold:
    """From `starts_at` until before `ends_at`, or for good, nothing planned takes effect.

    It bears on one flag or, without a `flag_id`, on all flags of its environment.
    """

    id: UUID
    environment: str
    flag_id: UUID | None
    plan_id: UUID | None
    """The plan that it was placed for, if it was one."""
    starts_at: datetime
    ends_at: datetime | None
    at_end: AtEnd
    reason: str
    refuses_edits: bool
    created_by: str
    created_at: datetime
    updated_at: datetime
    released_by: str | None = None
    released_at: datetime | None = None

    @property
    def scope(self) -> HoldScope:
        """What it bears on."""
        return HoldScope.FLAG if self.flag_id else HoldScope.ENVIRONMENT

    def covers(self, at: datetime) -> bool:
        """Does the instant lie in it?"""
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)

    def status_at(self, now: datetime) -> HoldStatus:
        """Has it begun, and is it over? One without a length is over before it begins."""
        if self.ends_at is not None and self.ends_at <= max(now, self.starts_at):
            return HoldStatus.OVER
        return HoldStatus.ACTIVE if self.starts_at <= now else HoldStatus.UPCOMING

    def is_over(self, now: datetime) -> bool:
        """Can nothing be changed of it any more? Once it is released, a clock that is set back does not open it."""
        return self.released_at is not None or self.status_at(now) is HoldStatus.OVER

    def refuse_if_over(self, now: datetime) -> None:
        """Raise HoldOver if nothing can be changed of it any more."""
        if self.is_over(now):
            raise HoldOver(self.id)

    def edited(self, edit: "HoldEdit", at: datetime) -> Self:
        """The hold after an accepted edit."""
        return replace(
            self,
            ends_at=edit.ends_at if edit.sets_end else self.ends_at,
            at_end=edit.at_end or self.at_end,
            reason=self.reason if edit.reason is None else edit.reason,
            updated_at=at,
        )

    def released(self, at_end: AtEnd, by: str, at: datetime) -> Self:
        """The hold after its release; one that has not begun never begins."""
        ends_at = max(at, self.starts_at)
        return replace(self, ends_at=ends_at, at_end=at_end, updated_at=at, released_by=by, released_at=at)


@dataclass(frozen=True, slots=True)
class NewHold:
    """A hold that is asked for: from now on, unless `starts_at` is given.

    `updates` are set on its flag at once, as an edit by hand.
    """

    reason: str
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    at_end: AtEnd = AtEnd.CATCH_UP
    refuses_edits: bool = False
    updates: Updates | None = None

    def __post_init__(self) -> None:
        for name in ("starts_at", "ends_at"):
            if (at := getattr(self, name)) is not None:
                object.__setattr__(self, name, to_milliseconds(at))


@dataclass(frozen=True, slots=True)
class HoldEdit:
    """What is changed of a hold that is not over; None leaves a field as it is.

    `ends_at` counts if `sets_end`: None then opens the hold.
    """

    sets_end: bool = False
    ends_at: datetime | None = None
    at_end: AtEnd | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.ends_at is not None:
            object.__setattr__(self, "ends_at", to_milliseconds(self.ends_at))


@dataclass(frozen=True, slots=True)
class Delay:
    """What holds do with a schedule whose instant lies in one: it ends at `until`, or waits for a release.

    `by` is the hold that decides that; `skipped_by` the one that has it skipped then, if one does.
    """

    by: Hold
    until: datetime | None
    skipped_by: Hold | None


def delay_of(scheduled_at: datetime, holds: Sequence[Hold]) -> Delay | None:
    """Walk from hold to hold until none covers the instant; None if none covers it at all.

    What is scheduled later never ends earlier, so the order of an agenda stays as it is.
    """
    delay, at, skipped_by = None, scheduled_at, None
    while covering := [hold for hold in holds if hold.covers(at)]:
        skipped_by = skipped_by or next((hold for hold in covering if hold.at_end is AtEnd.SKIP), None)
        last = max(covering, key=_end)
        delay = Delay(last, last.ends_at, skipped_by)
        if last.ends_at is None:
            break
        at = last.ends_at
    return delay


def takes_effect_at(scheduled_at: datetime, holds: Sequence[Hold]) -> datetime | None:
    """When a schedule ends that is planned for an instant; None while an open hold keeps it."""
    delay = delay_of(scheduled_at, holds) if holds else None
    return scheduled_at if delay is None else delay.until


def _end(hold: Hold) -> tuple[bool, datetime]:
    return hold.ends_at is None, hold.ends_at or hold.starts_at
