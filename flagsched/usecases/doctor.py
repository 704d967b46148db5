"""Is all well, and if not, what is wrong? For the operator who is woken when it breaks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from flagsched.domain.agenda import Agenda
from flagsched.domain.errors import Unavailable
from flagsched.domain.flags import Flag
from flagsched.domain.idempotency import KEEP_FOR
from flagsched.domain.instants import rfc3339
from flagsched.domain.schedules import PendingSchedule
from flagsched.ports.doctor import Overdue, Stored
from flagsched.ports.pages import Page
from flagsched.ports.store import Reading, Store

MAX_RECORD_DELAY = timedelta(seconds=60)
MAX_CLOCK_SKEW = timedelta(seconds=60)
# What others recorded since this transaction began is among what it sees.
MAX_CLOCK_LAG = timedelta(seconds=5)
MEGABYTE = 2**20
MIN_FREE_BYTES = 256 * MEGABYTE
MAX_WAL_BYTES_FOUND = 256 * MEGABYTE
# Workers forget a thousand a second at least, from a minute after they become old.
MAX_FORGET_DELAY = timedelta(hours=1)
MAX_KEPT_TOO_LONG = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check, with some examples of what is wrong."""

    check: str
    ok: bool
    message: str
    examples: Sequence[str] = ()


def examine(store: Store, host_now: datetime) -> list[Finding]:
    """Look at the schema, the clocks, the record and all invariants; `host_now` is what this host's clock says."""
    try:
        store.check()
        with store.reading() as work:
            return [
                Finding("schema", ok=True, message="the database answers, and its schema fits"),
                _clock(work, host_now),
                _overdue(work),
                _storage(work),
                *_invariants(work),
            ]
    except Unavailable as error:
        causes = [] if error.cause == error.message else error.cause.splitlines()
        return [Finding("schema", ok=False, message=error.message, examples=causes)]


def repair(store: Store) -> list[str]:
    """Recompute what is derived from the agendas, and have every process read everything anew; return the environments.

    For rows that were changed by hand, and for a backup that was restored. Raises FlagBusy.
    """
    with store.reading() as work:
        environments = work.doctor.environments()
    for environment in environments:
        with store.writing() as work:
            locked = work.flags.lock_environment(environment)
            now = work.now()
            # No count has come so far: whatever a process saw before, this is another revision.
            beyond = int(now.timestamp() * 1000)
            revision = work.publish({environment: now}, at_least=beyond)[environment]
            agendas = work.schedules.agendas(locked)
            work.flags.repair([_repaired(flag, agendas[flag.id]) for flag in locked], revision)
            work.commit()
    return environments


def _repaired(flag: Flag, agenda: Agenda[PendingSchedule]) -> Flag:
    return replace(flag, next_due_at=None if flag.archived_at else agenda.next_due_at)


def _clock(work: Reading, host_now: datetime) -> Finding:
    skew = host_now - work.at
    if abs(skew) > MAX_CLOCK_SKEW:
        seconds = round(skew.total_seconds())
        message = f"this host's clock differs from the database's by {seconds} s: tokens are judged by the host's"
        return Finding("clock", ok=False, message=message)
    last = work.doctor.last_recorded_at()
    if last is not None and last - work.at > MAX_CLOCK_LAG:
        message = f"the database's clock says {rfc3339(work.at)}, but something was recorded at {rfc3339(last)}"
        return Finding("clock", ok=False, message=message)
    return Finding("clock", ok=True, message=f"{rfc3339(work.at)} by the database, and this host agrees")


def _overdue(work: Reading) -> Finding:
    waiting = work.doctor.overdue(work.at - MAX_RECORD_DELAY)
    if not waiting.items:
        return Finding("record", ok=True, message="what is in effect is written down")
    message = (
        f"{_count(waiting)} not written down for more than a minute, or not at the first try; is a worker running?"
    )
    return Finding("record", ok=False, message=message, examples=[_told(one) for one in waiting.items])


def _storage(work: Reading) -> Finding:
    stored = work.doctor.stored(work.at - KEEP_FOR - MAX_FORGET_DELAY)
    counted = ", ".join(f"{count} {name}" for name, count in stored.rows.items())
    free = "" if stored.free_bytes is None else f", {_megabytes(stored.free_bytes)} free"
    troubles = storage_troubles(stored)
    message = f"{counted}; {_megabytes(stored.database_bytes)}{free}"
    return Finding("storage", ok=not troubles, message=message, examples=troubles)


def storage_troubles(stored: Stored) -> list[str]:
    """What an operator should do something about, a sentence each."""
    free, wal = stored.free_bytes, stored.wal_bytes
    troubles = [f"others may read {file}: chmod 600 {file}" for file in stored.open_files]
    if free is not None and free < max(MIN_FREE_BYTES, stored.database_bytes):
        troubles.append("the disk is nearly full: a migration or a backup needs as much again as the database")
    if wal is not None and wal > MAX_WAL_BYTES_FOUND:
        troubles.append(f"the -wal file has {_megabytes(wal)}: does a reader hold a transaction open?")
    if stored.kept_too_long > MAX_KEPT_TOO_LONG:
        troubles.append(f"{stored.kept_too_long} answers should be forgotten by now; is a worker running?")
    return troubles


def _megabytes(count: int) -> str:
    return f"{count / MEGABYTE:,.1f} MiB"


def _told(overdue: Overdue) -> str:
    since = f" since {rfc3339(overdue.since)}" if overdue.since else ""
    return f"{overdue.flag}{since}{': ' + overdue.last_error if overdue.last_error else ''}"


def _invariants(work: Reading) -> list[Finding]:
    return [
        Finding(name, ok=not broken.items, message=_broken(broken), examples=broken.items)
        for name, broken in work.doctor.examine().items()
    ]


def _broken(broken: Page[str]) -> str:
    return f"not so for {_count(broken)}" if broken.items else "holds"


def _count(page: Page[Overdue] | Page[str]) -> str:
    return f"more than {len(page.items)}" if page.more else str(len(page.items))
