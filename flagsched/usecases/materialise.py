"""Write down what is already in effect. Nothing is decided here: `timeline.replay` says what is."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from flagsched.domain.errors import Unavailable
from flagsched.domain.flags import Flag
from flagsched.domain.overrides import OverrideChange
from flagsched.domain.schedules import PendingSchedule
from flagsched.domain.timeline import Replay, replay
from flagsched.ports.store import Store, Writing
from flagsched.usecases.backoff import Backoff, Postponement

MAX_FLAGS = 20
MAX_SCHEDULES = 1000


def record(work: Writing, flags: Sequence[Flag], clock: datetime, limit: int | None = None) -> list[Flag]:
    """Write down what is in effect on these locked flags at `clock`, and return them as recorded.

    With a `limit`, leaves out flags that would make it more schedules, but never the first that has any.
    """
    due = work.schedules.due(flags, max(flag.now(clock) for flag in flags), limit)
    replays = _knowing_overrides(work, [replay(flag, due[flag.id], clock) for flag in flags if flag.id in due])
    work.schedules.finish(replays, clock)
    work.overrides.settle(replays)
    recorded = [replayed.recorded for replayed in replays]
    work.flags.settle(recorded)
    return recorded


def _knowing_overrides(work: Writing, replays: list[Replay[PendingSchedule]]) -> list[Replay[PendingSchedule]]:
    """The same, with what is stored of the users whose overrides they change: nearly always there are none."""
    users = {replayed.flag.id: [*replayed.overridden] for replayed in replays if replayed.overridden}
    if not users:
        return replays
    stored: dict[UUID, list[OverrideChange]] = defaultdict(list)
    for one in work.overrides.among(users):
        stored[one.flag_id].append(OverrideChange(one.user_id, one.kind))
    return [one.knowing(stored[one.flag.id]) if one.flag.id in users else one for one in replays]


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
            recorded = record(work, claimed, work.now(), MAX_SCHEDULES) if claimed else []
            work.commit()
    except Unavailable:
        # Also when the database seems to be away: that may be one flag which takes too long.
        if not claimed:
            raise
        backoff.suspect([flag.id for flag in claimed])
        return Recorded(failed=len(claimed))
    return Recorded(len(recorded))


def materialise_alone(store: Store, flag_id: UUID, backoff: Backoff) -> Postponement | None:
    """Record one flag if something of it is due and no other transaction holds it; postpone it if that fails.

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
    """When something is due next by the database's clock, and whether something that is due could not be claimed."""

    now: datetime
    due_at: datetime | None
    held: bool = False


def look_ahead(store: Store, backoff: Backoff) -> Outlook:
    """What comes next, once everything that could be claimed is recorded."""
    with store.reading() as work:
        passed_over = backoff.waiting()
        due_at = work.flags.earliest_due(passing_over=passed_over)
        if due_at is None or due_at > work.at:
            return Outlook(work.at, due_at)
        # It may be held for hours, and what comes next must not wait for it.
        return Outlook(work.at, work.flags.earliest_due(passing_over=passed_over, after=work.at), held=True)
