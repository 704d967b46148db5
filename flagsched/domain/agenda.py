"""All that will change one flag, in the order in which it takes effect."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Generic, Self, TypeVar

from flagsched.domain.holds import Hold, takes_effect_at
from flagsched.domain.schedules import PendingSchedule

AnySchedule = TypeVar("AnySchedule", bound=PendingSchedule)
ORDER = attrgetter("scheduled_at", "seq")


@dataclass(frozen=True, slots=True)
class Agenda(Generic[AnySchedule]):
    """A flag's pending schedules, in order: on a tie the later-created comes last and wins.

    Where only the schedules up to some instant were read, `later_at` is that of the first one after it. `holds` are
    all that bear on these.
    """

    schedules: tuple[AnySchedule, ...] = ()
    later_at: datetime | None = None
    holds: tuple[Hold, ...] = ()

    @classmethod
    def of(cls, schedules: Iterable[AnySchedule], later_at: datetime | None = None, holds: Iterable[Hold] = ()) -> Self:
        """The pending ones of these, in any order."""
        return cls(tuple(sorted((one for one in schedules if one.pending), key=ORDER)), later_at, tuple(holds))

    @property
    def begins_at(self) -> datetime | None:
        """The instant of its first schedule; None if there is none."""
        first = self.schedules[0].scheduled_at if self.schedules else self.later_at
        return first if first is None or self.later_at is None else min(first, self.later_at)

    @property
    def next_due_at(self) -> datetime | None:
        """The first instant at which anything of it ends, whatever its outcome; None if nothing ends by itself."""
        begins_at = self.begins_at
        return None if begins_at is None else takes_effect_at(begins_at, self.holds)

    def under(self, holds: Iterable[Hold]) -> Self:
        """The same schedules under these holds."""
        return type(self)(self.schedules, self.later_at, tuple(holds))

    def after(self, ended: int) -> Self:
        """What is left once its first `ended` schedules have ended."""
        return replace(self, schedules=self.schedules[ended:]) if ended else self

    def ahead(self, now: datetime) -> Self:
        """What is not due yet."""
        return self.after(sum(self._is_due(one, now) for one in self.schedules))

    def _is_due(self, schedule: AnySchedule, now: datetime) -> bool:
        ends_at = takes_effect_at(schedule.scheduled_at, self.holds)
        return ends_at is not None and ends_at <= now
