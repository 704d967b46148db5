"""What a process knows of its environments: the snapshots of its looks at the database, each as a moment."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from random import uniform
from threading import Lock
from time import sleep
from typing import NamedTuple

from flagsched.domain.errors import DatabaseUnavailable, Overtaken, Unavailable
from flagsched.domain.snapshot import Moment, Snapshot, moment, snapshot_of
from flagsched.ports import Reading, Store
from flagsched.usecases.announcements import LEASE_SECONDS, NEVER, UNREAD, Announcement, Announcements, DatabaseRead
from flagsched.usecases.present import Present

OLDEST_SECONDS = 1.0
"""No answer rests on an older look, unless the database is away."""
WHOLE_SECONDS = (240.0, 300.0)
"""How often everything is read anew, since rows can be changed by hand."""
READ_TRIES = 20
"""How often a look reads what has changed since, when another process has announced a later change meanwhile."""
OVERTAKEN = "the database changes faster than it can be read"
UNKNOWN = "the database does not answer, and nothing of it is known yet"
UNREADABLE = "what is in the database can't be read, and nothing of it is known yet"


@dataclass(frozen=True, slots=True)
class Current:
    """A moment, and until when it may be told: `over_at` ends it, `ends_at` at the latest ends its lease.

    `whole_at` says when all of it is read anew, and `good_at` as of when it is known. All by the process's own
    monotonic clock.
    """

    moment: Moment
    over_at: float
    ends_at: float
    whole_at: float
    good_at: float


class Found(NamedTuple):
    """What one read of the database has found, and the database's clock with the two instants around its answer."""

    read: DatabaseRead
    clock: tuple[float, datetime, float]
    at: datetime
    revisions: Mapping[str, int]
    snapshots: Sequence[tuple[Snapshot, float]]
    unread: Collection[str]
    problem: Exception | None


class Known:
    """The current moment of every environment that there is.

    One thread looks; any may read `current`, and take `publishing` to see what belongs together.
    """

    def __init__(
        self,
        store: Store,
        monotonic: Callable[[], float],
        announcements: Announcements | None = None,
        *,
        sleep: Callable[[float], object] = sleep,
    ) -> None:
        """Without `announcements` it agrees with no other process."""
        self.current: dict[str, Current] = {}
        self.revisions: Mapping[str, int] = {}
        self.reached_at = NEVER
        """When the last look began that reached the database."""
        self.away = False
        """Does nobody wait for a look, since the last has failed or does not end?"""
        self.given_up = False
        """Was a look awaited in vain? Then what other processes announce is not waited for either."""
        self.problem: Exception | None = None
        """What was wrong with the last look."""
        self.unread: Collection[str] = ()
        """Whose rows could not be read then."""
        self.publishing = Lock()
        self.present = Present(monotonic)
        self._store = store
        self._monotonic = monotonic
        self._announcements = announcements
        self._sleep = sleep
        self.last_read = UNREAD
        self.is_behind = False
        """Had another process announced a change that this one lacked, when a lease was given last?"""
        self._failures = 0
        """How many looks in a row have failed."""
        self._lost = False
        """Was the database out of reach since the last look that read it?"""

    def age_seconds(self, environment: str) -> float:
        """How old what is known of an environment is: infinite if nothing ever was of any."""
        current = self.current.get(environment)
        return self._monotonic() - (current.good_at if current else self.reached_at)

    @property
    def is_recent(self) -> bool:
        """Was the database reached just now?"""
        return self._monotonic() - self.reached_at < OLDEST_SECONDS

    def refusal(self, environment: str) -> Unavailable:
        """Why nobody can be told of an environment; a new one for each, who adds his own traceback."""
        if environment in self.unread:
            return DatabaseUnavailable(UNREADABLE, str(self.problem))
        return self.problem.again() if isinstance(self.problem, Unavailable) else DatabaseUnavailable(UNKNOWN)

    def look(self) -> None:
        """Read what has changed in every environment, and tell it once all processes of this host may."""
        try:
            self._take_in()
        except Exception as error:  # noqa: BLE001 - whatever is wrong there, answers go on
            self.away = True
            self._failures += 1
            self._lost = self._lost or isinstance(error, DatabaseUnavailable)
            self.problem = error

    def _take_in(self) -> None:
        bases = self._bases()
        for _ in range(READ_TRIES):
            found = self._read_database(bases)
            if self._has_been_announced(found.read):
                self._publish_all(found)
                return
            # What was read in vain need not be read again: the next try is as quick as any look at few changes.
            bases |= {snapshot.environment: (snapshot, whole_at) for snapshot, whole_at in found.snapshots}
        raise Overtaken(OVERTAKEN)

    def _read_database(self, bases: Mapping[str, tuple[Snapshot, float]]) -> Found:
        began_at = self._monotonic()
        with self._store.reading() as work:
            asked_at = self._monotonic()
            told = work.now()
            arrived_at = self._monotonic()
            revisions = work.snapshots.revisions()
            read = DatabaseRead(sum(revisions.values()), began_at, self._monotonic())
            # One that is known, and has no revision any more, was removed by hand.
            wanted = self.current.keys() | revisions.keys()
            snapshots, unread, problem = self._read_all(work, {name: revisions.get(name, 0) for name in wanted}, bases)
            return Found(read, (asked_at, told, arrived_at), work.at, revisions, snapshots, unread, problem)

    def _has_been_announced(self, read: DatabaseRead) -> bool:
        """Announce a read, and wait until it may be told; False if another process knows of something later."""
        latest = self._announcements.announce(read) if self._announcements else None
        if latest is None:
            return True
        if not latest.change.is_known_to(read):
            return False
        while (seconds := latest.told_from - self._monotonic()) > 0:
            self._sleep(seconds)
        return True

    def _publish_all(self, found: Found) -> None:
        with self.publishing:
            self.present.note(*found.clock)
            self.last_read, self.revisions, self.reached_at = found.read, found.revisions, found.read.began_at
            self.away = self.given_up = self._lost = False
            self._failures = 0
            self.unread, self.problem = found.unread, found.problem
            for snapshot, whole_at in found.snapshots:
                # Not later than it was when this look began: the first answer past an instant wants one from past it.
                self.publish(snapshot, whole_at, found.read.began_at, found.at)
            for current in [self.current[name] for name in found.unread if name in self.current]:
                # Told as it is known, and read whole once it can be read.
                self.publish(current.moment.snapshot, NEVER, current.good_at, found.at)

    def close(self) -> None:
        """Agree with no other process any more."""
        announcements, self._announcements = self._announcements, None
        if announcements is not None:
            announcements.close()

    def missed(self) -> Announcement | None:
        """What another process has announced and this one has not read, unless it can't read anything now."""
        return self._look_at_announcement()[0]

    def _look_at_announcement(self) -> tuple[Announcement | None, float]:
        """What `missed` gives, and the instant as of which it is so."""
        announcements = self._announcements
        if announcements is None:
            return None, float("inf")
        # A look that fails is tried again at once: only from the second failure on is nobody to wait for it.
        if self._failures > 1 or self.given_up:
            return None, self._monotonic()
        latest, looked_at = announcements.latest()
        is_known = latest is None or latest.change.is_known_to(self.last_read)
        return None if is_known else latest, looked_at

    def renewed(self, environment: str) -> Current | None:
        """The moment of an environment for another lease, if it may still be told; for the holder of `publishing`."""
        current, now = self.current[environment], self._monotonic()
        if now < current.ends_at:
            return current  # Another thread has renewed it while this one waited.
        if now >= current.over_at:
            return None
        ends_at = min(current.over_at, self._lease_ends_at())
        if self._monotonic() >= ends_at:
            return None
        self.current[environment] = renewed = replace(current, ends_at=ends_at)
        return renewed

    def _lease_ends_at(self) -> float:
        missed, looked_at = self._look_at_announcement()
        self.is_behind = missed is not None
        return looked_at + LEASE_SECONDS if missed is None else missed.ends_at(self.last_read)

    def _bases(self) -> dict[str, tuple[Snapshot, float]]:
        """What is known, and when all of it is read anew. Of a database that was lost, nothing: it may be another."""
        if self._lost:
            return {}
        return {name: (one.moment.snapshot, one.whole_at) for name, one in self.current.items()}

    def _read_all(
        self, work: Reading, revisions: Mapping[str, int], bases: Mapping[str, tuple[Snapshot, float]]
    ) -> tuple[list[tuple[Snapshot, float]], list[str], Exception | None]:
        """Each that can be read; the names of the others, and what was wrong with the last of those."""
        read, unread, problem = [], [], None
        for name, revision in revisions.items():
            try:
                read.append(self._read(work, name, revision, bases.get(name)))
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - a row that can't be read is its own environment's trouble
                problem = error
                unread.append(name)
        return read, unread, problem

    def _read(
        self, work: Reading, environment: str, revision: int, base: tuple[Snapshot, float] | None
    ) -> tuple[Snapshot, float]:
        now = self._monotonic()
        if base is None or now > base[1] or revision < base[0].revision:
            whole = snapshot_of(environment, revision, work.snapshots.whole(environment))
            return whole, now + uniform(*WHOLE_SECONDS)  # noqa: S311 - a jitter
        known, whole_at = base
        if revision == known.revision:
            return known, whole_at
        return known.updated(work.snapshots.changed_since(environment, known.revision), revision), whole_at

    def publish(self, snapshot: Snapshot, whole_at: float, good_at: float, at: datetime) -> None:
        """Tell from now on what `snapshot` is at `at`; for whoever holds `publishing`."""
        known = self.current.get(snapshot.environment)
        told = _told(snapshot, at, known.moment if known else None)
        over_at = self.present.passes(told.until)
        if not self.away:
            over_at = min(over_at, self.reached_at + OLDEST_SECONDS)
        ends_at = min(over_at, self._lease_ends_at())
        self.current[snapshot.environment] = Current(told, over_at, ends_at, whole_at, good_at)


def _told(snapshot: Snapshot, at: datetime, before: Moment | None) -> Moment:
    if before is None:
        return moment(snapshot, at)
    if before.snapshot is snapshot and not before.is_over(at):
        return before
    # Time never goes backward for whoever asks.
    return moment(snapshot, max(at, before.at), before)
