"""All that will change one flag, in the order in which it takes effect."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Generic, Self, TypeVar

from flagsched.domain.schedules import PendingSchedule

AnySchedule = TypeVar("AnySchedule", bound=PendingSchedule)
ORDER = attrgetter("scheduled_at", "seq")


@dataclass(frozen=True, slots=True)
class Agenda(Generic[AnySchedule]):
    """A flag's pending schedules, in order: on a tie the later-created comes last and wins.

    Where only the schedules up to some instant were read, `later_at` is that of the first one after it.
    """

    schedules: tuple[AnySchedule, ...] = ()
    later_at: datetime | None = None

    @classmethod
    def of(cls, schedules: Iterable[AnySchedule], later_at: datetime | None = None) -> Self:
        """The pending ones of these, in any order."""
        return cls(tuple(sorted((one for one in schedules if one.pending), key=ORDER)), later_at)

    @property
    def next_due_at(self) -> datetime | None:
        """The first instant at which anything of it ends, whatever its outcome; None if nothing is ahead."""
        instants = (*(one.scheduled_at for one in self.schedules[:1]), *([self.later_at] if self.later_at else []))
        return min(instants, default=None)

    def after(self, ended: int) -> Self:
        """What is left once its first `ended` schedules have ended."""
        return type(self)(self.schedules[ended:], self.later_at) if ended else self

    def ahead(self, now: datetime) -> Self:
        """What is not due yet."""
        return self.after(sum(one.is_due(now) for one in self.schedules))
