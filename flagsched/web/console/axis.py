"""A stretch of time as an axis, and timelines drawn on it: positions in percent of the width, for SVG."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flagsched.domain.flags import FlagState
from flagsched.domain.segments import Segment
from flagsched.usecases.timeline import Timeline
from flagsched.web.console.instants import PersonalTime
from flagsched.web.console.sentences import describe_state

HEIGHT = 36
"""Of a row, in pixels."""
TALL = 96
"""Of a timeline that stands alone."""
WIDE = 5.0
"""From this width on, in percent, a bar has a label."""
RANGES = {
    "day": (timedelta(hours=24), timedelta(hours=3)),
    "week": (timedelta(days=7), timedelta(days=1)),
    "month": (timedelta(days=31), timedelta(days=3)),
}
"""How long each is, and how much of it lies before now."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across the axis, labelled."""

    x: float
    label: str
    is_day: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """A state for a part of the axis."""

    x: float
    width: float
    height: float
    state: str
    title: str
    ahead: bool

    @property
    def label(self) -> str:
        """What stands in it, if it is wide enough."""
        return self.state.removeprefix("on for ") if self.width >= WIDE else ""


@dataclass(frozen=True, slots=True)
class Band:
    """A hold."""

    x: float
    width: float
    title: str
    freezes: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """A schedule that is not as it was planned."""

    x: float
    title: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One timeline."""

    bars: Sequence[Bar]
    bands: Sequence[Band]
    marks: Sequence[Mark]
    text: str
    """The same in words."""


@dataclass(frozen=True, slots=True)
class Axis:
    """From `start` until `end`, as a person sees it."""

    start: datetime
    end: datetime
    time: PersonalTime

    @classmethod
    def around_now(cls, name: str, time: PersonalTime) -> "Axis":
        """The range of this name, with a little of the past."""
        length, past = RANGES[name]
        return cls(time.now - past, time.now - past + length, time)

    @property
    def length(self) -> timedelta:
        """How much time it shows."""
        return self.end - self.start

    @property
    def now_x(self) -> float | None:
        """Where now is, if it is on it."""
        return self.x(self.time.now) if self.start <= self.time.now <= self.end else None

    def x(self, at: datetime) -> float:
        """Where an instant is; at the border, if it is beyond that."""
        return round(100 * ((min(max(at, self.start), self.end) - self.start) / self.length), 3)

    def moved(self, parts: float) -> "Axis":
        """The same length of time, earlier or later."""
        return Axis(self.start + self.length * parts, self.end + self.length * parts, self.time)

    @property
    def ticks(self) -> list[Tick]:
        """Midnights and, on a short axis, hours, by the clock of the person; no more than fit."""
        days = self.length / timedelta(days=1)
        if days <= 2:
            return [*self._hours(1 if days <= 0.3 else 3 if days <= 1.2 else 6)]
        step = next((n for n in (1, 2, 7, 14, 30, 90, 365) if days / n <= 12), 365)
        return [*self._days(step)]

    def _hours(self, step: int) -> Iterator[Tick]:
        at = self._midnight(self.start)
        while at <= self.end:
            local = at.astimezone(self.time.zone)
            if at >= self.start and local.hour % step == 0:
                is_day = local.hour == 0
                yield Tick(self.x(at), self.time.day(at) if is_day else self.time.clock(at), is_day)
            at += timedelta(hours=1)

    def _days(self, step: int) -> Iterator[Tick]:
        # By local days: each begins at its own midnight, whatever the clocks do.
        day = self.start.astimezone(self.time.zone).date()
        while (at := self._midnight_of(day.year, day.month, day.day)) <= self.end:
            if at >= self.start:
                yield Tick(self.x(at), self.time.day(at), is_day=True)
            day += timedelta(days=step)

    def _midnight(self, at: datetime) -> datetime:
        local = at.astimezone(self.time.zone)
        return self._midnight_of(local.year, local.month, local.day)

    def _midnight_of(self, year: int, month: int, day: int) -> datetime:
        return datetime(year, month, day, tzinfo=self.time.zone).astimezone(self.time.now.tzinfo)

    def chart(self, timeline: Timeline, height: int = HEIGHT) -> Chart:
        """A timeline on this axis, so many pixels high."""
        return Chart(
            [bar for segment in timeline.segments for bar in self.bars(segment, height)],
            [
                Band(
                    self.x(hold.starts_at),
                    self.x(hold.ends_at or self.end) - self.x(hold.starts_at),
                    f"held from {self._told(hold.starts_at)} until {self._told(hold.ends_at)}: {hold.reason}",
                    hold.refuses_edits,
                )
                for hold in timeline.holds
                if hold.ends_at is None or hold.ends_at > hold.starts_at
            ],
            [
                *(
                    Mark(self.x(one.scheduled_at), f"{self._told(one.scheduled_at)}: {one.status.value}, {one.reason}")
                    for one in timeline.passed_over
                ),
                *(
                    Mark(
                        self.x(one.scheduled_at),
                        f"planned for {self._told(one.scheduled_at)}, held until {self._told(one.until)}",
                    )
                    for one in timeline.deferred
                ),
            ],
            self.words(timeline.segments),
        )

    def words(self, segments: Sequence[Segment]) -> str:
        """What segments on this axis say: `off until Sat 28 Nov, 09:00; on for 10 % from then on`."""
        shown = [one for one in segments if one.start < self.end and (one.end is None or one.end > self.start)]
        told = [
            f"{describe_state(one.state)} "
            + (f"until {self._told(one.end)}" if one.end and one.end < self.end else "from then on")
            for one in shown
        ]
        return "; ".join(told) or "nothing in this range"

    def bars(self, segment: Segment, height: int = HEIGHT) -> Iterator[Bar]:
        """What is past of a segment, and what is ahead."""
        start, end, now = segment.start, segment.end or self.end, self.time.now
        for first, last, ahead in ((start, min(end, now), False), (max(start, now), end, True)):
            if first < last and last > self.start and first < self.end:
                yield self._bar(segment.state, first, last, height, ahead=ahead)

    def _bar(self, state: FlagState, first: datetime, last: datetime, height: int, *, ahead: bool) -> Bar:
        text = describe_state(state)
        share = state.rollout_percentage / 100 if state.enabled else 0.0
        return Bar(
            x=self.x(first),
            width=round(self.x(last) - self.x(first), 3),
            height=round(height * share, 1),
            state=text,
            title=f"{text} from {self._told(first)} until {self._told(last)}",
            ahead=ahead,
        )

    def _told(self, at: datetime | None) -> str:
        return self.time.plain(at) if at else "it is released"
