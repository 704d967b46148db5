"""What applying a plan changes, as text: a table where the terminal is wide enough, else two lines for each change."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from flagsched.client.errors import printable
from flagsched.client.plans import AppliedPlan, Change, Mark

MEANINGS = {
    Mark.ADD: "add",
    Mark.CANCEL: "cancel",
    Mark.KEEP: "keep",
    Mark.IN_EFFECT: "in effect",
    Mark.FAILED: "failed",
    Mark.SKIPPED: "skipped",
}
GAP = "  "
MIN_WIDTH = 20


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; with the mark of the change that it tells of, if it tells of one."""

    text: str
    mark: Mark | None = None


def table_of(changes: Sequence[Change], width: int | None = None) -> Iterator[Line]:
    """The lines of a table, with what its marks mean; none is longer than `width`, if a word of it is not."""
    if not changes:
        return
    clock = _Clock(changes)
    rows = [clock.header, *(_cells(one, clock) for one in changes)]
    used = [n for n in range(len(clock.header)) if any(row[n] for row in rows)]
    widths = {n: max(len(row[n]) for row in rows) for n in used}
    lines = [GAP.join(row[n].ljust(widths[n]) for n in used).rstrip() for row in rows]
    if width is None or max(map(len, lines)) <= width:
        marks: list[Mark | None] = [None, *(one.mark for one in changes)]
        yield from map(Line, lines, marks)
    else:
        for one in changes:
            yield from _folded(one, clock, max(width, MIN_WIDTH))
    yield Line("")
    yield Line("   ".join(f"{mark} {meaning}" for mark, meaning in MEANINGS.items() if _has(changes, mark)))


def summary_of(applied: AppliedPlan, *, done: bool = False) -> str:
    """How many changes a plan makes, or has made, in a sentence."""
    words = [("added" if done else "to add", Mark.ADD), ("cancelled" if done else "to cancel", Mark.CANCEL)]
    counts = [f"{number} {word}" for word, mark in words if (number := applied.count(mark))]
    if applied.at_once:
        counts.append(f"{applied.at_once} of them in effect at once")
    if not counts and applied.changed:
        counts = ["its title or description has changed" if done else "its title or description differs"]
    new = " is new" if applied.created and not done else ""
    return f"plan {applied.name!r}{new}: {', '.join(counts) or 'nothing to do, the server has it as the file says'}"


class _Clock:
    """How the instants of some changes are written: no finer than they differ, and one zone once only."""

    def __init__(self, changes: Sequence[Change]) -> None:
        times = [time for one in changes for time in (one.at, one.local) if time is not None]
        self._format = "%Y-%m-%d %H:%M:%S" if any(time.second for time in times) else "%Y-%m-%d %H:%M"
        zones = {one.zone for one in changes if one.zone}
        self._zone = zones.pop() if len(zones) == 1 else None
        local = self._zone or ("local time" if zones else "")
        self.header = ("", "UTC", local, "environment", "flag", "change")

    def write(self, time: datetime) -> str:
        return time.strftime(self._format)

    def local(self, change: Change, *, with_zone: bool = False) -> str:
        if change.local is None:
            return ""
        zone = f" {change.zone}" if with_zone or not self._zone else ""
        return f"{self.write(change.local)}{zone}"


def _cells(change: Change, clock: _Clock) -> tuple[str, ...]:
    return (
        f" {change.mark}",
        clock.write(change.at),
        clock.local(change),
        change.environment,
        change.flag,
        printable(change.sets),
    )


def _folded(change: Change, clock: _Clock, width: int) -> Iterator[Line]:
    local = clock.local(change, with_zone=True)
    first = f" {change.mark}  {clock.write(change.at)} UTC{f', {local}' if local else ''}"
    second = f"{change.flag} in {change.environment}: {printable(change.sets)}"
    for text in (first, f"      {second}"):
        wrapped = textwrap.wrap(text, width, subsequent_indent=" " * 6, break_long_words=False, break_on_hyphens=False)
        yield from (Line(one, change.mark) for one in wrapped)


def _has(changes: Sequence[Change], mark: Mark) -> bool:
    return any(one.mark is mark for one in changes)
