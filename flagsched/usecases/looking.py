"""What is known, kept up to date: one thread of each process looks whether something has changed."""

import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Event, Thread, current_thread
from time import monotonic

from flagsched.domain.snapshot import Moment, Snapshot, moment
from flagsched.ports import Store
from flagsched.usecases.announcements import NEVER, Announcements
from flagsched.usecases.known import OLDEST_SECONDS, Known

LOOK_SECONDS = 0.5
AT_ONCE_SECONDS = 0.05
"""How long an answer at an instant waits for a look from past it; one that is late for other reasons, LOOK_SECONDS."""
FIRST_SECONDS = 4.8
HEAR_SECONDS = 0.02

Announce = Callable[[], Announcements | None]
"""Gives a process its way to what the processes of its host announce; None if it has none."""
Listen = Callable[[Callable[[object], None], Event], None]
"""Calls a function whenever something may have changed, until the event is set."""
Tell = Callable[[Exception | None], None]
"""Is told what is wrong when looks begin to fail, and None when all is well again."""


class Looking:
    """What is known of every environment that there is.

    The first question in a process, forked or not, begins a thread, which goes on by itself until
    `close`, or until nobody has a use for it any more.
    """

    def __init__(
        self,
        store: Store,
        *,
        monotonic: Callable[[], float] = monotonic,
        listen: Listen | None = None,
        tell: Tell = lambda _: None,
        announce: Announce = lambda: None,
    ) -> None:
        """`listen` hastens a look when something has changed; without it, each half second is soon enough.

        With `announce`, no client of several processes of this host is told an older version than before.
        """
        self._store = store
        self._monotonic = monotonic
        self._listen = listen
        self._tell = tell
        self._announce = announce
        self.begin()
        EVERY.add(self)

    def begin(self) -> None:
        """Know nothing yet, in a process that has none of its parent's threads."""
        self._known = Known(self._store, self._monotonic, self._announce())
        self._current = self._known.current
        self._looks = Condition()
        self._begun = self._over = 0
        self._wanted, self._stopped = Event(), Event()
        self._thread: Thread | None = None
        self._listens = False

    def at_once(self, environment: str) -> Moment:
        """What an environment is now; empty if there is none. DatabaseUnavailable if nothing is known yet."""
        try:
            current = self._current[environment]
        except KeyError:
            return self._first(environment)
        return current.moment if self._monotonic() < current.ends_at else self._next(environment)

    @property
    def age_seconds(self) -> float:
        """How old the oldest is of what it knows: infinite if it knows nothing."""
        return max(map(self._known.age_seconds, list(self._current)), default=float("inf"))

    @property
    def problem(self) -> Exception | None:
        """What was wrong with the last look."""
        return self._known.problem

    @property
    def knows(self) -> bool:
        """Can it answer without the database?"""
        return bool(self._current)

    @property
    def stale(self) -> bool:
        """Is something that it knows older than it should be, since the database is away or can't be read?"""
        return self.knows and (bool(self._known.unread) or self.age_seconds > OLDEST_SECONDS)

    def stale_seconds(self, told: Moment) -> float | None:
        """How old what was told is, if that is more than it should be."""
        age = self._known.age_seconds(told.snapshot.environment)
        return age if age > OLDEST_SECONDS else None

    def seconds_left(self, told: Moment) -> float:
        """For how long what was told still is so, as far as it is known now."""
        return self._known.present.passes(told.until) - self._monotonic()

    def wake(self) -> None:
        """Look soon: something may have changed."""
        self._wanted.set()

    def close(self) -> None:
        """Look no more, and know from then on what was known then. Waits for the end of a look that has begun."""
        EVERY.discard(self)
        self._stopped.set()
        self._wanted.set()
        if self._thread is not None and self._thread is not current_thread():
            self._thread.join()
        self._known.close()

    def _first(self, environment: str) -> Moment:
        known, asked_at = self._known, self._monotonic()
        if environment in known.unread and known.is_recent:
            raise known.refusal(environment)
        if not self._is_missing(environment):
            was_reached = known.reached_at != NEVER
            # Only as long as nothing is known at all is it worth a long wait.
            if not self._look_now(LOOK_SECONDS if was_reached or known.away else FIRST_SECONDS) and was_reached:
                known.away = True
            with known.publishing:
                current = self._current.get(environment)
                is_answer = known.reached_at >= asked_at or (was_reached and known.away)
                missing = is_answer and environment not in known.revisions
            if current is not None:
                return current.moment
            if not missing:
                raise known.refusal(environment)
        # Whoever invents names must not make us remember them.
        return moment(Snapshot(environment), known.present.now())

    def _is_missing(self, environment: str) -> bool:
        """Is it known well enough that there is none? While the database is away, as of then."""
        known = self._known
        if known.reached_at == NEVER or environment in known.revisions:
            return False
        return known.away or (known.is_recent and not known.missed())

    def _next(self, environment: str) -> Moment:
        known, asked_at = self._known, self._monotonic()
        with known.publishing:
            renewed = known.renewed(environment)
        if renewed:
            if known.is_behind:
                self._wanted.set()
            return renewed.moment
        if not self._has_looked(environment):
            known.away = True
        with known.publishing:
            current = self._current[environment]
            # A look that began since is an answer, though another instant has come meanwhile.
            if known.reached_at < asked_at and self._monotonic() >= current.over_at:
                known.publish(current.moment.snapshot, current.whole_at, current.good_at, known.present.now())
            return self._current[environment].moment

    def _has_looked(self, environment: str) -> bool:
        """Wait for a look that will do, but not for long; has it come?"""
        known, missed = self._known, self._known.missed()
        seconds = AT_ONCE_SECONDS if (known.is_recent or known.away) and not missed else LOOK_SECONDS
        has_come = self._awaited(environment, seconds)
        known.given_up = known.given_up or (missed is not None and not has_come)
        return has_come

    def _awaited(self, environment: str, seconds: float) -> bool:
        if not self._current[environment].moment.is_over(self._known.present.now()):
            # What is known is only too old: a look that is under way is younger.
            if not self._look_now(seconds, under_way=True):
                return False
            if self._monotonic() < self._current[environment].ends_at:
                return True
        return self._look_now(seconds)

    def _look_now(self, seconds: float, *, under_way: bool = False) -> bool:
        """Wait for a look that begins from here on, or one that is under way; has it come?"""
        with self._looks:
            if self._stopped.is_set():
                return False
            awaited = self._begun if under_way and self._begun > self._over else self._begun + 1
            self._wanted.set()
            self._begin_threads()
            return self._looks.wait_for(lambda: self._over >= awaited, seconds)

    def _begin_threads(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            wanted, stopped = self._wanted, self._stopped
            self._thread = _begin(_go_on, weakref.ref(self), wanted, stopped, name="looking")
            if self._listen is not None and not self._listens:
                self._listens = True
                _begin(self._listen, lambda _: _hear(wanted, stopped), stopped, name="listening")

    def look(self) -> None:
        """In the one thread that looks."""
        before = self.problem
        with self._looks:
            self._begun += 1
        self._known.look()
        with self._looks:
            self._over = self._begun
            self._looks.notify_all()
        if before is None and self.problem is not None:
            self._wanted.set()  # It may have been a passing trouble.
        if (self.problem is None) != (before is None):
            with suppress(Exception):  # It is somebody else's, and looks must go on.
                self._tell(self.problem)


def _begin(work: Callable[..., None], *given: object, name: str) -> Thread:
    thread = Thread(target=work, args=given, daemon=True, name=name)
    thread.start()
    return thread


def _hear(wanted: Event, stopped: Event) -> None:
    wanted.set()
    # What comes in the next moment is seen by one look.
    stopped.wait(HEAR_SECONDS)


def _go_on(ref: "weakref.ref[Looking]", wanted: Event, stopped: Event) -> None:
    """Look each half second, and when it is wanted, as long as somebody else has a use for it."""
    began_at = NEVER
    while True:
        wanted.wait(max(0.0, began_at + LOOK_SECONDS - monotonic()))
        wanted.clear()
        looking = ref()
        if looking is None or stopped.is_set():
            stopped.set()
            return
        began_at = monotonic()
        looking.look()
        del looking


EVERY: "weakref.WeakSet[Looking]" = weakref.WeakSet()


def _begin_every() -> None:
    for looking in EVERY:
        looking.begin()


os.register_at_fork(after_in_child=_begin_every)
