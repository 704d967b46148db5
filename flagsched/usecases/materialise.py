"""Write down what is already in effect. Nothing is decided here: `timeline.replay` says what is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from flagsched.domain.errors import FlagMissing, StatementFailed, Unavailable
from flagsched.domain.flags import Flag, FlagName
from flagsched.domain.history import step_entry
from flagsched.domain.timeline import replay
from flagsched.ports import Store, Writing

FLAGS_AT_ONCE = 20
SCHEDULES_AT_ONCE = 1000
LONGEST_POSTPONEMENT = timedelta(seconds=60)


def record(work: Writing, flags: Sequence[Flag], clock: datetime, limit: int = SCHEDULES_AT_ONCE) -> list[Flag]:
    """Write down what is in effect on these locked flags at `clock`, and give them as recorded.

    Leaves out those that would make it more than `limit` schedules, but never the first.
    """
    at = max(flag.now(clock) for flag in flags)
    due = work.schedules.due(flags, at, limit)
    replays = [replay(flag, due[flag.id], clock) for flag in flags if flag.id in due]
    steps = [(replayed.flag, step) for replayed in replays for step in replayed.steps]
    work.schedules.end([step.ended(clock) for _, step in steps])
    work.history.append([step_entry(flag, step, clock) for flag, step in steps])
    recorded = [replayed.recorded for replayed in replays]
    work.flags.write(recorded)
    return recorded


def lock_current(work: Writing, name: FlagName) -> tuple[Flag, datetime]:
    """Lock a flag, then look at the clock, then write down what is in effect: how every writer begins.

    Gives the flag as it is now, and the clock. Raises FlagMissing, FlagBusy.
    """
    flag = work.flags.lock(name)
    if flag is None:
        raise FlagMissing(name.environment, name.key)
    clock = work.now()
    if flag.is_due(clock):
        record(work, [flag], clock)
        flag = work.flags.find(name) or flag
    return flag, clock


@dataclass(slots=True)
class Setbacks:
    """The flags that could not be recorded, kept in the process too: writing it down may fail for the same cause."""

    monotonic: Callable[[], float]
    tries: dict[UUID, int] = field(default_factory=dict)
    waiting_until: dict[UUID, float] = field(default_factory=dict)

    def waiting(self) -> list[UUID]:
        """The flags to pass over now."""
        now = self.monotonic()
        return [flag_id for flag_id, until in self.waiting_until.items() if until > now]

    def note(self, flag_id: UUID) -> timedelta:
        """One more failure of this flag: how long to leave it alone."""
        tries = self.tries[flag_id] = self.tries.get(flag_id, 0) + 1
        delay = min(timedelta(seconds=2 ** min(tries - 1, 16)), LONGEST_POSTPONEMENT)
        self.waiting_until[flag_id] = self.monotonic() + delay.total_seconds()
        return delay

    def forget(self, flag_id: UUID) -> None:
        """It went well again."""
        self.tries.pop(flag_id, None)
        self.waiting_until.pop(flag_id, None)


@dataclass(frozen=True, slots=True)
class Setback:
    """One flag that could not be recorded, why, and for how long it is left alone."""

    flag_id: UUID
    error: str
    delay: timedelta


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one call wrote down."""

    flags: int
    setbacks: Sequence[Setback] = ()


def materialise_due(store: Store, setbacks: Setbacks) -> Recorded:
    """Claim some flags with something due and record them in one transaction; `Recorded(0)` when there is none.

    If that transaction fails, the same flags are recorded one by one, and each that fails alone is postponed.
    """
    claimed: list[Flag] = []
    try:
        with store.writing() as work:
            claimed = work.flags.claim_due(FLAGS_AT_ONCE, passing_over=setbacks.waiting())
            if not claimed:
                return Recorded(0)
            recorded = record(work, claimed, work.now())
            work.commit()
    except StatementFailed:
        return _materialise_one_by_one(store, claimed, setbacks)
    for flag in recorded:
        setbacks.forget(flag.id)
    return Recorded(len(recorded))


def _materialise_one_by_one(store: Store, flags: Sequence[Flag], setbacks: Setbacks) -> Recorded:
    failed = [setback for flag in flags if (setback := _materialise_one(store, flag, setbacks))]
    return Recorded(len(flags) - len(failed), failed)


def _materialise_one(store: Store, flag: Flag, setbacks: Setbacks) -> Setback | None:
    try:
        with store.writing() as work:
            claimed = work.flags.claim(flag.id)
            if claimed is not None:
                record(work, [claimed], work.now())
                work.commit()
    except StatementFailed as error:
        setback = Setback(flag.id, error.cause, setbacks.note(flag.id))
        _postpone(store, setback)
        return setback
    setbacks.forget(flag.id)
    return None


def _postpone(store: Store, setback: Setback) -> None:
    try:
        with store.writing() as work:
            work.flags.postpone(setback.flag_id, until=work.now() + setback.delay, error=setback.error)
            work.commit()
    except Unavailable:
        # The process remembers it; other workers find out by themselves.
        return


@dataclass(frozen=True, slots=True)
class Outlook:
    """When something may be claimed next, and the database's clock as it said so."""

    now: datetime
    due_at: datetime | None


def look_ahead(store: Store) -> Outlook:
    """When to look again; `due_at` is in the past if something due could not be claimed."""
    with store.reading() as work:
        return Outlook(work.now, work.flags.earliest_due())
