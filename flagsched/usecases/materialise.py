"""Write down what is already in effect. Nothing is decided here: `timeline.replay` says what is."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from flagsched.domain.errors import FlagMissing, Unavailable
from flagsched.domain.flags import Flag, FlagName
from flagsched.domain.history import endings
from flagsched.domain.timeline import replay
from flagsched.ports.store import Store, Writing

MAX_FLAGS = 20
MAX_SCHEDULES = 1000
MAX_POSTPONEMENT = timedelta(seconds=60)


def record(work: Writing, flags: Sequence[Flag], clock: datetime, limit: int = MAX_SCHEDULES) -> list[Flag]:
    """Write down what is in effect on these locked flags at `clock`, and give them as recorded.

    Leaves out flags that would make it more than `limit` schedules, but never the first of them.
    """
    at = max(flag.now(clock) for flag in flags)
    due = work.schedules.due(flags, at, limit)
    replays = [replay(flag, due[flag.id], clock) for flag in flags if flag.id in due]
    work.history.append_endings([ending for one in replays for ending in endings(one)], clock)
    recorded = [replayed.recorded for replayed in replays]
    work.flags.settle(recorded)
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
        (flag,) = record(work, [flag], clock)
    return flag, clock


@dataclass(slots=True)
class Backoff:
    """The flags that could not be recorded, kept in the process too: writing it down may fail for the same cause.

    Each of them is tried alone until it goes well, so that it holds up no other.
    """

    monotonic: Callable[[], float]
    tries: dict[UUID, int] = field(default_factory=dict)
    waiting_until: dict[UUID, float] = field(default_factory=dict)

    def known(self) -> list[UUID]:
        """The flags that are tried alone."""
        return list(self.tries)

    def waiting(self) -> list[UUID]:
        """The flags to leave alone now."""
        now = self.monotonic()
        return [flag_id for flag_id, until in self.waiting_until.items() if until > now]

    def ready(self) -> list[UUID]:
        """The flags to try alone now."""
        waiting = set(self.waiting())
        return [flag_id for flag_id in self.tries if flag_id not in waiting]

    def suspect(self, flag_ids: Collection[UUID]) -> None:
        """Have these flags tried alone: recording them together has failed."""
        for flag_id in flag_ids:
            self.tries.setdefault(flag_id, 0)

    def note(self, flag_id: UUID) -> timedelta:
        """One more failure of this flag: how long to leave it alone."""
        tries = self.tries[flag_id] = self.tries.get(flag_id, 0) + 1
        delay = min(timedelta(seconds=2 ** min(tries - 1, 16)), MAX_POSTPONEMENT)
        self.waiting_until[flag_id] = self.monotonic() + delay.total_seconds()
        return delay

    def forget(self, flag_id: UUID) -> None:
        """It went well again."""
        self.tries.pop(flag_id, None)
        self.waiting_until.pop(flag_id, None)


@dataclass(frozen=True, slots=True)
class Postponement:
    """One flag that could not be recorded, why, and for how long it is left alone."""

    flag_id: UUID
    cause: str
    delay: timedelta


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many flags one transaction wrote down, or with how many it failed: each of these is to be tried alone."""

    flags: int = 0
    failed: int = 0


def materialise_due(store: Store, backoff: Backoff) -> Recorded:
    """Claim some flags with something due, and record them in one transaction.

    Raises whatever keeps it from claiming at all.
    """
    claimed: list[Flag] = []
    try:
        with store.writing() as work:
            claimed = work.flags.claim_due(MAX_FLAGS, passing_over=backoff.known())
            recorded = record(work, claimed, work.now()) if claimed else []
            work.commit()
    except Unavailable:
        # Also when the database seems to be away: that may be one flag which takes too long.
        if not claimed:
            raise
        backoff.suspect([flag.id for flag in claimed])
        return Recorded(failed=len(claimed))
    return Recorded(len(recorded))


def materialise_alone(store: Store, flag_id: UUID, backoff: Backoff) -> Postponement | None:
    """Record one flag if something of it is due and nobody holds it; postpone it if that fails.

    Raises whatever keeps it from claiming at all.
    """
    claimed = None
    try:
        with store.writing() as work:
            claimed = work.flags.claim(flag_id)
            if claimed is None:
                flag = work.flags.among([flag_id]).get(flag_id)
                if flag is None or not flag.is_due(work.now()):
                    backoff.forget(flag_id)  # Somebody else has recorded it.
                return None
            record(work, [claimed], work.now())
            work.commit()
    except Unavailable as error:
        if claimed is None:
            raise
        postponement = Postponement(flag_id, error.cause, backoff.note(flag_id))
        _postpone(store, postponement)
        return postponement
    backoff.forget(flag_id)
    return None


def _postpone(store: Store, postponement: Postponement) -> None:
    try:
        with store.writing() as work:
            work.flags.postpone(postponement.flag_id, until=work.now() + postponement.delay, error=postponement.cause)
            work.commit()
    except Unavailable:
        # This process remembers it; other workers find out by themselves.
        return


@dataclass(frozen=True, slots=True)
class Outlook:
    """When something is due next by the database's clock, and whether something already is: somebody may hold it."""

    now: datetime
    due_at: datetime | None
    held: bool = False


def look_ahead(store: Store, backoff: Backoff) -> Outlook:
    """When to look again after everything that could be claimed was recorded."""
    with store.reading() as work:
        passed_over = backoff.waiting()
        due_at = work.flags.earliest_due(passing_over=passed_over)
        if due_at is None or due_at > work.at:
            return Outlook(work.at, due_at)
        # It may be held for hours, and what comes next must not wait for it.
        return Outlook(work.at, work.flags.earliest_due(passing_over=passed_over, after=work.at), held=True)
