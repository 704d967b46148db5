"""The heart: what a flag is at an instant. Reads, preview and worker all ask here, and nowhere else."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, Self, TypeAlias

from flagsched.domain.agenda import Agenda, AnySchedule
from flagsched.domain.flags import Flag, FlagState, apply
from flagsched.domain.holds import Delay, delay_of
from flagsched.domain.overrides import OverrideChange
from flagsched.domain.updates import UnreadableUpdates


@dataclass(frozen=True, slots=True)
class Applied:
    """The schedule changes the flag."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The schedule changes nothing, and adds no version."""

    reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """The schedule was not to change the flag as it was found: it changes nothing, and adds no version."""

    reason: str


Outcome: TypeAlias = Applied | Skipped | Failed
APPLIED = Applied()


@dataclass(frozen=True, slots=True)
class Step(Generic[AnySchedule]):
    """What becomes of a schedule at `effective_at`: the state before it, its outcome, and the state from there on."""

    schedule: AnySchedule
    before: FlagState
    after: FlagState
    effective_at: datetime
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Replay(Generic[AnySchedule]):
    """The steps of a flag's agenda that are in effect, and the agenda that is left."""

    flag: Flag
    steps: tuple[Step[AnySchedule], ...]
    ahead: Agenda[AnySchedule]

    @property
    def state(self) -> FlagState:
        """The state after the last step."""
        return self.steps[-1].after if self.steps else self.flag.state

    @property
    def recorded(self) -> Flag:
        """The flag once all steps are written down."""
        return replace(self.flag, state=self.state.written, next_due_at=self.ahead.next_due_at)

    @property
    def overridden(self) -> Mapping[str, Step[AnySchedule]]:
        """The last step that changes the override of each user, by user."""
        if not self.state.overrides:
            return {}
        applied = (step for step in self.steps if step.outcome is APPLIED)
        return {change.user_id: step for step in applied if (change := step.schedule.override)}

    def knowing(self, stored: Iterable[OverrideChange]) -> Self:
        """The same steps, with what is stored of their users in each state, for the history to tell."""
        state = replace(self.flag.state, overrides=tuple(stored))
        ended = Agenda(tuple(step.schedule for step in self.steps), holds=self.ahead.holds)
        return replace(self, steps=tuple(steps(state, ended)))


def take_effect(schedule: AnySchedule, before: FlagState, delay: Delay | None = None) -> Step[AnySchedule]:
    """What becomes of a schedule when it ends, given the state just before that, and what holds do with it.

    Raises ValueError for one that an open hold keeps.
    """
    due_at = schedule.scheduled_at if delay is None else delay.until
    if due_at is None:
        raise ValueError("an open hold keeps it")
    # Never before what is in effect already, though a hand may have put it there.
    at = max(due_at, before.changed_at)
    if delay and delay.skipped_by:
        hold = delay.skipped_by
        return Step(schedule, before, before, at, Skipped(f"skipped by the hold {hold.id}: {hold.reason}"))
    if isinstance(schedule.updates, UnreadableUpdates):
        return Step(schedule, before, before, at, Failed(schedule.updates.reason))
    condition = schedule.updates.only_if
    if condition is not None and (reason := condition.unmet(before)):
        return Step(schedule, before, before, at, Skipped(reason))
    return Step(schedule, before, apply(before, schedule.updates, at), at, APPLIED)


def steps(state: FlagState, agenda: Agenda[AnySchedule]) -> Iterator[Step[AnySchedule]]:
    """The whole fold from `state` on, one step after the other, as far as the caller reads on.

    It ends where an open hold keeps what follows.
    """
    for schedule in agenda.schedules:
        delay = delay_of(schedule.scheduled_at, agenda.holds) if agenda.holds else None
        if delay is not None and delay.until is None:
            return
        step = take_effect(schedule, state, delay)
        yield step
        state = step.after


def replay(flag: Flag, agenda: Agenda[AnySchedule], at: datetime) -> Replay[AnySchedule]:
    """Fold onto the flag's written state what of its agenda is due at `at`, in order.

    `at` before the flag's last change is taken as that change: the past is the history's to tell.
    """
    now, folded = flag.now(at), []
    for step in steps(flag.state, agenda):
        if step.effective_at > now:
            break
        folded.append(step)
    return Replay(flag, tuple(folded), agenda.after(len(folded)))


def state_at(flag: Flag, agenda: Agenda[AnySchedule], at: datetime) -> FlagState:
    """What `flag` is at `at`, given its agenda: `replay` without its steps."""
    return replay(flag, agenda, at).state


def next_change_at(replayed: Replay[AnySchedule]) -> datetime | None:
    """The first instant after a replay's at which the agenda changes the flag, if there is one."""
    ahead = steps(replayed.state, replayed.ahead)
    return next((step.effective_at for step in ahead if step.outcome is APPLIED), None)
