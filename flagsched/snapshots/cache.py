"""The snapshots that a process has cached, each as it is in effect now."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from random import SystemRandom
from threading import Lock
from time import sleep
from typing import NamedTuple

from flagsched.domain.errors import DatabaseUnavailable, Overtaken, Unavailable
from flagsched.domain.snapshot import EffectiveSnapshot, Snapshot, effective_snapshot, snapshot_of
from flagsched.ports.store import Reading, Store
from flagsched.snapshots.announcements import LEASE_SECONDS, NEVER, UNREAD, Announcement, Announcements, DatabaseRead
from flagsched.snapshots.clock import ClockEstimate

MAX_AGE_SECONDS = 1.0
"""No answer rests on an older refresh, unless the database is away."""
# Not the process's generator: a thread of ours would take numbers from a host that has seeded it.
CHANCE = SystemRandom()
RELOAD_SECONDS = (240.0, 300.0)
"""How often a snapshot is read whole, since rows can be changed by hand."""
MAX_READS = 20
"""How often one refresh reads the database, when another process has announced a later change meanwhile."""
OVERTAKEN = "the database changes faster than it can be read"
NEVER_READ = "the database does not answer, and was never read"
UNREADABLE = "what is in the database can't be read, and was never read before"


@dataclass(frozen=True, slots=True)
class CachedSnapshot:
    """An effective snapshot, and how long it may be used. All instants are of the process's monotonic clock.

    `over_at` is when it is refreshed at the latest, `ends_at` when its lease ends, `reload_at` when it is read whole;
    `good_at` is the instant as of which it is right.
    """

    effective: EffectiveSnapshot
    over_at: float
    ends_at: float
    reload_at: float
    good_at: float


class Base(NamedTuple):
    """A snapshot from which a refresh goes on, and when it is to be read whole."""

    snapshot: Snapshot
    reload_at: float


class RefreshRead(NamedTuple):
    """What one refresh has read: `clock` is the database's, between two instants of the process's.

    `unreadable` names the environments with a row that can't be read, `problem` is the last such fault.
    """

    read: DatabaseRead
    clock: tuple[float, datetime, float]
    at: datetime
    revisions: Mapping[str, int]
    bases: Sequence[Base]
    unreadable: Collection[str]
    problem: Exception | None


class SnapshotCache:
    """The snapshot of every environment that exists.

    One thread calls `refresh`; any may read `snapshots`, and hold `publishing` to read what belongs together.
    """

    def __init__(
        self,
        store: Store,
        monotonic: Callable[[], float],
        announcements: Announcements | None = None,
        *,
        sleep: Callable[[float], object] = sleep,
    ) -> None:
        """Without `announcements` it shares instants with no other process."""
        self.snapshots: dict[str, CachedSnapshot] = {}
        self.revisions: Mapping[str, int] = {}
        self.reached_at = NEVER
        """When the last refresh began that reached the database."""
        self.away = False
        """Did the last refresh fail, or does it hang? Then no request waits for one."""
        self.given_up = False
        """Did a request wait in vain? Then no request waits for what other processes announce either."""
        self.problem: Exception | None = None
        """What was wrong with the last refresh."""
        self.unreadable: Collection[str] = ()
        self.publishing = Lock()
        self.clock = ClockEstimate(monotonic)
        self.last_read = UNREAD
        self.is_behind = False
        """Had another process announced a change that this one lacked, when a lease was given last?"""
        self._store = store
        self._monotonic = monotonic
        self._announcements = announcements
        self._sleep = sleep
        self._failures = 0
        """How many refreshes in a row have failed."""
        self._lost = False
        """Was the database out of reach since the last refresh that read it?"""

    def age_seconds(self, environment: str) -> float:
        """How old the snapshot of an environment is: infinite if there never was any snapshot."""
        cached = self.snapshots.get(environment)
        return self._monotonic() - (cached.good_at if cached else self.reached_at)

    @property
    def is_recent(self) -> bool:
        """Was the database reached within MAX_AGE_SECONDS?"""
        return self._monotonic() - self.reached_at < MAX_AGE_SECONDS

    def refusal(self, environment: str) -> Unavailable:
        """Why there is no snapshot of an environment: a new error for each caller, since each adds a traceback."""
        if environment in self.unreadable:
            return DatabaseUnavailable(UNREADABLE, str(self.problem))
        return self.problem.again() if isinstance(self.problem, Unavailable) else DatabaseUnavailable(NEVER_READ)

    def refresh(self) -> None:
        """Read what has changed in every environment, and publish it once all processes of this host may."""
        try:
            self._read_and_publish()
        except Exception as error:  # noqa: BLE001 - whatever is wrong there, answers go on
            self.away = True
            self._failures += 1
            self._lost = self._lost or isinstance(error, DatabaseUnavailable)
            self.problem = error

    def _read_and_publish(self) -> None:
        bases = self._bases()
        for _ in range(MAX_READS):
            found = self._read_database(bases)
            if self._may_publish(found.read):
                self._publish_all(found)
                return
            # The next read goes on from this one, so it is as quick as any read of few changes.
            bases |= {base.snapshot.environment: base for base in found.bases}
        raise Overtaken(OVERTAKEN)

    def _read_database(self, bases: Mapping[str, Base]) -> RefreshRead:
        began_at = self._monotonic()
        with self._store.reading() as work:
            asked_at = self._monotonic()
            database_now = work.now()
            arrived_at = self._monotonic()
            revisions = work.snapshots.revisions()
            read = DatabaseRead(sum(revisions.values()), began_at, self._monotonic())
            # An environment that is cached and has no revision any more was deleted by hand.
            wanted = self.snapshots.keys() | revisions.keys()
            current, unreadable, problem = self._read_all(
                work, {name: revisions.get(name, 0) for name in wanted}, bases
            )
            return RefreshRead(
                read, (asked_at, database_now, arrived_at), work.at, revisions, current, unreadable, problem
            )

    def _may_publish(self, read: DatabaseRead) -> bool:
        """Announce a read, and wait until its instant; False if another process has announced something later."""
        latest = self._announcements.announce(read) if self._announcements else None
        if latest is None:
            return True
        if not latest.change.is_in(read):
            return False
        while (seconds := latest.effective_at - self._monotonic()) > 0:
            self._sleep(seconds)
        return True

    def _publish_all(self, found: RefreshRead) -> None:
        with self.publishing:
            self.clock.add(*found.clock)
            self.last_read, self.revisions, self.reached_at = found.read, found.revisions, found.read.began_at
            self.away = self.given_up = self._lost = False
            self._failures = 0
            self.unreadable, self.problem = found.unreadable, found.problem
            lease_ends_at = self._lease_ends_at()
            for base in found.bases:
                # Good as of the begin: the first answer past an instant wants a refresh that began past it.
                self._publish(base, found.read.began_at, found.at, lease_ends_at)
            for cached in [self.snapshots[name] for name in found.unreadable if name in self.snapshots]:
                # Used as it was last read, and read whole once it can be.
                self._publish(Base(cached.effective.snapshot, NEVER), cached.good_at, found.at, lease_ends_at)

    def advance(self, environment: str) -> None:
        """Publish a snapshot as it is in effect by now, without a refresh; for the holder of `publishing`."""
        cached = self.snapshots[environment]
        base = Base(cached.effective.snapshot, cached.reload_at)
        self._publish(base, cached.good_at, self.clock.now(), self._lease_ends_at())

    def _publish(self, base: Base, good_at: float, at: datetime, lease_ends_at: float) -> None:
        cached = self.snapshots.get(base.snapshot.environment)
        effective = _advanced(base.snapshot, at, cached.effective if cached else None)
        over_at = self.clock.reaches(effective.until)
        if not self.away:
            over_at = min(over_at, self.reached_at + MAX_AGE_SECONDS)
        self.snapshots[base.snapshot.environment] = CachedSnapshot(
            effective, over_at, min(over_at, lease_ends_at), base.reload_at, good_at
        )

    def close(self) -> None:
        """Share instants with no other process any more."""
        announcements, self._announcements = self._announcements, None
        if announcements is not None:
            announcements.close()

    def missed(self) -> Announcement | None:
        """What another process has announced and this one has not read, unless it can't read anything now."""
        return self._missed_as_of()[0]

    def _missed_as_of(self) -> tuple[Announcement | None, float]:
        """What `missed` gives, and the instant as of which it is so."""
        announcements = self._announcements
        if announcements is None:
            return None, float("inf")
        # The first failure is retried at once: only from the second on does no request wait.
        if self._failures > 1 or self.given_up:
            return None, self._monotonic()
        latest, read_at = announcements.latest()
        is_read = latest is None or latest.change.is_in(self.last_read)
        return None if is_read else latest, read_at

    def renewed(self, environment: str) -> CachedSnapshot | None:
        """The snapshot under another lease, None if it must be refreshed; for the holder of `publishing`."""
        cached, now = self.snapshots[environment], self._monotonic()
        if now < cached.ends_at:
            return cached  # Another thread has renewed it while this one waited for the lock.
        if now >= cached.over_at:
            return None
        ends_at = min(cached.over_at, self._lease_ends_at())
        if self._monotonic() >= ends_at:
            return None
        self.snapshots[environment] = renewed = replace(cached, ends_at=ends_at)
        return renewed

    def _lease_ends_at(self) -> float:
        missed, as_of = self._missed_as_of()
        self.is_behind = missed is not None
        return as_of + LEASE_SECONDS if missed is None else missed.ends_at(self.last_read)

    def _bases(self) -> dict[str, Base]:
        # After the database was lost, nothing: it may be another one.
        if self._lost:
            return {}
        return {name: Base(cached.effective.snapshot, cached.reload_at) for name, cached in self.snapshots.items()}

    def _read_all(
        self, work: Reading, revisions: Mapping[str, int], bases: Mapping[str, Base]
    ) -> tuple[list[Base], list[str], Exception | None]:
        """Each that can be read; the names of the others, and what was wrong with the last of those."""
        read, unreadable, problem = [], [], None
        for name, revision in revisions.items():
            try:
                read.append(self._read(work, name, revision, bases.get(name)))
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - a row that can't be read is its own environment's trouble
                problem = error
                unreadable.append(name)
        return read, unreadable, problem

    def _read(self, work: Reading, environment: str, revision: int, base: Base | None) -> Base:
        now = self._monotonic()
        if base is None or now > base.reload_at or revision < base.snapshot.revision:
            whole = snapshot_of(environment, revision, work.snapshots.whole(environment))
            return Base(whole, now + CHANCE.uniform(*RELOAD_SECONDS))
        if revision == base.snapshot.revision:
            return base
        changed = work.snapshots.changed_since(environment, base.snapshot.revision)
        return Base(base.snapshot.updated(changed, revision), base.reload_at)


def _advanced(snapshot: Snapshot, at: datetime, before: EffectiveSnapshot | None) -> EffectiveSnapshot:
    if before is None:
        return effective_snapshot(snapshot, at)
    if before.snapshot is snapshot and not before.is_over(at):
        return before
    # Time never goes backward for a caller.
    return effective_snapshot(snapshot, max(at, before.at), before)
