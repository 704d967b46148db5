"""Snapshots that are kept up to date: one thread of each process looks whether something has changed."""

import os
import random
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Condition, Event, Lock, Thread
from time import monotonic

from flagsched.domain.errors import DatabaseUnavailable, Unavailable
from flagsched.domain.snapshot import Moment, Snapshot, moment, snapshot_of
from flagsched.ports import Reading, Store
from flagsched.usecases.present import Present

LOOK_SECONDS = 0.5
OLDEST_SECONDS = 1.0
"""No answer rests on an older look, unless the database is away."""
AT_ONCE_SECONDS = 0.05
"""How long an answer at an instant waits for a look from past it; one that is late for other reasons, LOOK_SECONDS."""
FIRST_SECONDS = 4.8
HEAR_SECONDS = 0.02
WHOLE_SECONDS = (240.0, 300.0)
"""How often everything is read anew, since rows can be changed by hand."""
NEVER = float("-inf")
UNKNOWN = "the database does not answer, and nothing of it is known yet"
UNREADABLE = "what is in the database can't be read, and nothing of it is known yet"


Listen = Callable[[Callable[[object], None], Event], None]
"""Calls a function whenever something may have changed, until the event is set."""
Tell = Callable[[Exception | None], None]
"""Is told why looks begin to fail, and None when they succeed again."""


@dataclass(frozen=True, slots=True)
class Current:
    """A moment, until when it may be told, and when all of it is read anew, by the process's own monotonic clock."""

    moment: Moment
    ends_at: float
    whole_at: float


class Looking:
    """What is known of each environment that was asked for.

    The first question in a process, forked or not, begins a thread, which goes on by itself.
    """

    def __init__(
        self,
        store: Store,
        *,
        monotonic: Callable[[], float] = monotonic,
        listen: Listen | None = None,
        tell: Tell = lambda _: None,
    ) -> None:
        """`listen` hastens a look when something has changed; without it, each half second is soon enough."""
        self._store = store
        self._monotonic = monotonic
        self._listen = listen
        self._tell = tell
        self.begin()
        EVERY.add(self)

    def begin(self) -> None:
        """Know nothing yet, in a process that has none of its parent's threads."""
        self._present = Present(self._monotonic)
        self._current: dict[str, Current] = {}
        self._asked_for: set[str] = set()
        self._revisions: Mapping[str, int] = {}
        self._good_at = NEVER
        self._away = self._failing = False
        self._trouble: Unavailable = DatabaseUnavailable(UNKNOWN)
        self._publishing = Lock()
        self._looks = Condition()
        self._begun = self._over = 0
        self._wanted = False
        self._stopped = Event()
        self._thread: Thread | None = None

    def at_once(self, environment: str) -> Moment:
        """What an environment is now; empty if there is none. DatabaseUnavailable if nothing is known yet."""
        try:
            current = self._current[environment]
        except KeyError:
            return self._first(environment)
        return current.moment if self._monotonic() < current.ends_at else self._next(environment)

    @property
    def age_seconds(self) -> float:
        """How old what is known is: infinite if nothing is."""
        return self._monotonic() - self._good_at

    @property
    def knows(self) -> bool:
        """Can it answer without the database?"""
        return bool(self._current)

    @property
    def stale(self) -> bool:
        """Is what it knows older than it should be, since the database is away?"""
        return self.knows and self.age_seconds > OLDEST_SECONDS

    def seconds_left(self, told: Moment) -> float:
        """For how long what was told still is so, as far as it is known now."""
        return self._present.passes(told.until) - self._monotonic()

    def wake(self) -> None:
        """Look soon: something may have changed."""
        with self._looks:
            self._wanted = True
            self._looks.notify_all()

    def close(self) -> None:
        """Look no more, and know from then on what was known then. Waits for the end of a look that has begun."""
        self._stopped.set()
        self.wake()
        if self._thread is not None:
            self._thread.join()

    def _first(self, environment: str) -> Moment:
        if self._failing and self._good_at == NEVER:
            # The thread tries again by itself: nobody else need wait for it.
            raise self._trouble
        recent = self._away or self.age_seconds < OLDEST_SECONDS
        if not (recent and self._revisions and environment not in self._revisions):
            self._asked_for.add(environment)
            self._look_now(FIRST_SECONDS)
        if (current := self._current.get(environment)) is not None:
            return current.moment
        if self._good_at == NEVER or environment in self._revisions:
            raise self._trouble
        # Whoever invents names must not make us remember them.
        self._asked_for.discard(environment)
        return moment(Snapshot(environment), self._present.now())

    def _next(self, environment: str) -> Moment:
        asked_at = self._monotonic()
        if not self._look_now(AT_ONCE_SECONDS if self.age_seconds < OLDEST_SECONDS else LOOK_SECONDS):
            self._away = True
        with self._publishing:
            current = self._current[environment]
            # A look that began since is an answer, though another instant has come meanwhile.
            if self._good_at < asked_at and self._monotonic() >= current.ends_at:
                self._publish(current.moment.snapshot, current.whole_at, self._present.now())
            return self._current[environment].moment

    def _look_now(self, seconds: float) -> bool:
        """Wait for a look that begins from here on; has it come?"""
        with self._looks:
            if self._stopped.is_set():
                return False
            self._begin_thread()
            awaited = self._begun + 1
            self._wanted = True
            self._looks.notify_all()
            return self._looks.wait_for(lambda: self._over >= awaited, seconds)

    def _begin_thread(self) -> None:
        if self._thread is None and self._listen is not None:
            Thread(target=self._listen, args=(self._hear, self._stopped), daemon=True, name="listening").start()
        if self._thread is None or not self._thread.is_alive():
            self._thread = Thread(target=self._go_on, daemon=True, name="looking")
            self._thread.start()

    def _hear(self, heard: object) -> None:
        del heard
        self.wake()
        # What comes in the next moment is seen by one look.
        self._stopped.wait(HEAR_SECONDS)

    def _go_on(self) -> None:
        while not self._stopped.is_set():
            with self._looks:
                self._looks.wait_for(lambda: self._wanted, LOOK_SECONDS)
                self._wanted = False
                self._begun += 1
            self._look()
            with self._looks:
                self._over = self._begun
                self._looks.notify_all()

    def _look(self) -> None:
        try:
            self._take_in()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the database or with a row, answers go on
            self._away = True
            self._trouble = error if isinstance(error, Unavailable) else DatabaseUnavailable(UNREADABLE, str(error))
            if not self._failing:
                self._tell(error)
            self._failing = True
        else:
            if self._failing:
                self._tell(None)
            self._failing = False

    def _take_in(self) -> None:
        began_at = self._monotonic()
        with self._store.reading() as work:
            asked_at = self._monotonic()
            told = work.now()
            arrived_at = self._monotonic()
            revisions = work.snapshots.revisions()
            # One that is known, and has no revision any more, was removed by hand.
            names = [name for name in list(self._asked_for) if name in revisions or name in self._current]
            read = [self._read(work, name, revisions.get(name, 0)) for name in names]
        with self._publishing:
            self._present.note(asked_at, told, arrived_at)
            self._revisions, self._good_at, self._away = revisions, began_at, False
            for snapshot, whole_at in read:
                # Not later than it was when this look began: the first answer past an instant wants one from past it.
                self._publish(snapshot, whole_at, work.at)

    def _read(self, work: Reading, environment: str, revision: int) -> tuple[Snapshot, float]:
        current = self._current.get(environment)
        now = self._monotonic()
        if current is None or now > current.whole_at or revision < current.moment.snapshot.revision:
            whole = snapshot_of(environment, revision, work.snapshots.whole(environment))
            return whole, now + random.uniform(*WHOLE_SECONDS)  # noqa: S311 - a jitter
        known = current.moment.snapshot
        if revision == known.revision:
            return known, current.whole_at
        return known.updated(work.snapshots.changed_since(environment, known.revision), revision), current.whole_at

    def _publish(self, snapshot: Snapshot, whole_at: float, at: datetime) -> None:
        known = self._current.get(snapshot.environment)
        told = _told(snapshot, at, known.moment if known else None)
        ends_at = self._present.passes(told.until)
        if not self._away:
            ends_at = min(ends_at, self._good_at + OLDEST_SECONDS)
        self._current[snapshot.environment] = Current(told, ends_at, whole_at)


def _told(snapshot: Snapshot, at: datetime, before: Moment | None) -> Moment:
    if before is None:
        return moment(snapshot, at)
    if before.snapshot is snapshot and not before.is_over(at):
        return before
    # Time never goes backward for whoever asks.
    return moment(snapshot, max(at, before.at), before)


EVERY: "weakref.WeakSet[Looking]" = weakref.WeakSet()


def _begin_every() -> None:
    for looking in EVERY:
        looking.begin()


os.register_at_fork(after_in_child=_begin_every)
