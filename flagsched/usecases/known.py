"""What a process knows of its environments: the snapshots of its looks at the database, each as a moment."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from random import uniform
from threading import Lock

from flagsched.domain.errors import DatabaseUnavailable, Unavailable
from flagsched.domain.snapshot import Moment, Snapshot, moment, snapshot_of
from flagsched.ports import Reading, Store
from flagsched.usecases.present import Present

OLDEST_SECONDS = 1.0
"""No answer rests on an older look, unless the database is away."""
WHOLE_SECONDS = (240.0, 300.0)
"""How often everything is read anew, since rows can be changed by hand."""
NEVER = float("-inf")
UNKNOWN = "the database does not answer, and nothing of it is known yet"
UNREADABLE = "what is in the database can't be read, and nothing of it is known yet"


@dataclass(frozen=True, slots=True)
class Current:
    """A moment, until when it may be told, when all of it is read anew, and as of when it is known.

    All by the process's own monotonic clock.
    """

    moment: Moment
    ends_at: float
    whole_at: float
    good_at: float


class Known:
    """The current moment of each environment that somebody has asked for.

    One thread looks; any may read `current`, and take `publishing` to see what belongs together.
    """

    def __init__(self, store: Store, monotonic: Callable[[], float]) -> None:
        self.current: dict[str, Current] = {}
        self.revisions: Mapping[str, int] = {}
        self.reached_at = NEVER
        """When the last look began that reached the database."""
        self.away = False
        """Does nobody wait for a look, since the last has failed or does not end?"""
        self.problem: Exception | None = None
        """What was wrong with the last look."""
        self.unread: Collection[str] = ()
        """Whose rows could not be read then."""
        self.publishing = Lock()
        self.present = Present(monotonic)
        self._store = store
        self._monotonic = monotonic
        self._lost = False

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

    def look(self, names: Collection[str]) -> None:
        """Take in what has changed in the environments that are known, and all of those of `names` that there are."""
        try:
            self.problem = self._take_in(names)
        except Exception as error:  # noqa: BLE001 - whatever is wrong there, answers go on
            self.away = self._lost = True
            self.problem = error

    def _take_in(self, names: Collection[str]) -> Exception | None:
        began_at = self._monotonic()
        with self._store.reading() as work:
            asked_at = self._monotonic()
            told = work.now()
            arrived_at = self._monotonic()
            revisions = work.snapshots.revisions()
            # One that is known, and has no revision any more, was removed by hand.
            wanted = self.current.keys() | (revisions.keys() & set(names))
            read, unread, problem = self._read_all(work, {name: revisions.get(name, 0) for name in wanted})
        with self.publishing:
            self.present.note(asked_at, told, arrived_at)
            self.revisions, self.reached_at, self.away, self._lost = revisions, began_at, False, False
            self.unread = unread
            for snapshot, whole_at in read:
                # Not later than it was when this look began: the first answer past an instant wants one from past it.
                self.publish(snapshot, whole_at, began_at, work.at)
            for current in [self.current[name] for name in unread if name in self.current]:
                # Told as it is known, and read whole once it can be read.
                self.publish(current.moment.snapshot, NEVER, current.good_at, work.at)
        return problem

    def _read_all(
        self, work: Reading, revisions: Mapping[str, int]
    ) -> tuple[list[tuple[Snapshot, float]], list[str], Exception | None]:
        """Each that can be read; the names of the others, and what was wrong with the last of those."""
        read, unread, problem = [], [], None
        for name, revision in revisions.items():
            try:
                read.append(self._read(work, name, revision))
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - a row that can't be read is its own environment's trouble
                problem = error
                unread.append(name)
        return read, unread, problem

    def _read(self, work: Reading, environment: str, revision: int) -> tuple[Snapshot, float]:
        current = self.current.get(environment)
        now = self._monotonic()
        # A database that was lost may be another by now, whose same revision is of other writes.
        if current is None or self._lost or now > current.whole_at or revision < current.moment.snapshot.revision:
            whole = snapshot_of(environment, revision, work.snapshots.whole(environment))
            return whole, now + uniform(*WHOLE_SECONDS)  # noqa: S311 - a jitter
        known = current.moment.snapshot
        if revision == known.revision:
            return known, current.whole_at
        return known.updated(work.snapshots.changed_since(environment, known.revision), revision), current.whole_at

    def publish(self, snapshot: Snapshot, whole_at: float, good_at: float, at: datetime) -> None:
        """Tell from now on what `snapshot` is at `at`; for whoever holds `publishing`."""
        known = self.current.get(snapshot.environment)
        told = _told(snapshot, at, known.moment if known else None)
        ends_at = self.present.passes(told.until)
        if not self.away:
            ends_at = min(ends_at, self.reached_at + OLDEST_SECONDS)
        self.current[snapshot.environment] = Current(told, ends_at, whole_at, good_at)


def _told(snapshot: Snapshot, at: datetime, before: Moment | None) -> Moment:
    if before is None:
        return moment(snapshot, at)
    if before.snapshot is snapshot and not before.is_over(at):
        return before
    # Time never goes backward for whoever asks.
    return moment(snapshot, max(at, before.at), before)
