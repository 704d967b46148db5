"""The thread of each process that refreshes its snapshots, and the requests that wait for it."""

import os
import weakref
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Event, Thread, current_thread
from time import monotonic

from flagsched.domain.snapshot import EffectiveSnapshot, Snapshot, effective_snapshot
from flagsched.ports.store import Store
from flagsched.snapshots.announcements import NEVER, Announcements
from flagsched.snapshots.cache import MAX_AGE_SECONDS, SnapshotCache

REFRESH_SECONDS = 0.5
"""How often a process refreshes, and how long a request waits for a refresh that is late."""
MAX_WAIT_AT_INSTANT_SECONDS = 0.05
"""How long an answer at a planned instant waits for a refresh that began after it."""
MAX_FIRST_WAIT_SECONDS = 4.8
"""How long the first request of a process waits."""
BATCH_SECONDS = 0.02
"""Notifications that come within this time are served by one refresh."""

ShareAnnouncements = Callable[[], Announcements | None]
"""Opens what the processes of this host announce to each other, once in each process; None if they share nothing."""
Listen = Callable[[Callable[[object], None], Event], None]
"""Calls a function whenever something may have changed, until the event is set."""
OnProblem = Callable[[Exception | None], None]
"""Called with what is wrong when refreshes begin to fail, and with None when they succeed again."""


class SnapshotRefresher:
    """Keeps a snapshot of every environment up to date.

    The first request in a process, forked or not, starts the thread. It ends with `close`, or when nobody refers to
    the refresher any more.
    """

    def __init__(
        self,
        store: Store,
        *,
        monotonic: Callable[[], float] = monotonic,
        listen: Listen | None = None,
        on_problem: OnProblem = lambda _: None,
        announcements: ShareAnnouncements = lambda: None,
    ) -> None:
        """`listen` hastens a refresh when something has changed; without it, REFRESH_SECONDS is soon enough.

        With `announcements`, no client of several processes of this host reads an older version after a newer one.
        """
        self._store = store
        self._monotonic = monotonic
        self._listen = listen
        self._on_problem = on_problem
        self._share_announcements = announcements
        self.reset()
        INSTANCES.add(self)

    def reset(self) -> None:
        """Start with an empty cache and no threads: so in a forked child, which has none of its parent's threads."""
        self._cache = SnapshotCache(self._store, self._monotonic, self._share_announcements())
        self._snapshots = self._cache.snapshots
        self._refreshes = Condition()
        self._begun = self._finished = 0
        self._wanted, self._stopped = Event(), Event()
        self._thread: Thread | None = None
        self._listens = False

    def effective(self, environment: str) -> EffectiveSnapshot:
        """What is in effect in an environment now; empty if there is none such.

        Raises DatabaseUnavailable if the database was never read.
        """
        try:
            cached = self._snapshots[environment]
        except KeyError:
            return self._first(environment)
        return cached.effective if self._monotonic() < cached.ends_at else self._next(environment)

    @property
    def age_seconds(self) -> float:
        """The age of the oldest snapshot: infinite if there is none."""
        return max(map(self._cache.age_seconds, list(self._snapshots)), default=float("inf"))

    @property
    def problem(self) -> Exception | None:
        """What was wrong with the last refresh."""
        return self._cache.problem

    @property
    def has_snapshot(self) -> bool:
        """Can it answer without the database?"""
        return bool(self._snapshots)

    @property
    def stale(self) -> bool:
        """Is a snapshot too old, since the database is away or has a row that can't be read?"""
        return self.has_snapshot and (bool(self._cache.unreadable) or self.age_seconds > MAX_AGE_SECONDS)

    def stale_seconds(self, effective: EffectiveSnapshot) -> float | None:
        """The age of a snapshot that is too old; None if it is not."""
        age = self._cache.age_seconds(effective.snapshot.environment)
        return age if age > MAX_AGE_SECONDS else None

    def seconds_left(self, effective: EffectiveSnapshot) -> float:
        """How long this snapshot stays in effect, as far as it is planned now."""
        return self._cache.clock.reaches(effective.until) - self._monotonic()

    def wake(self) -> None:
        """Refresh soon: something may have changed."""
        self._wanted.set()

    def close(self) -> None:
        """Refresh no more, and answer from then on from what was read last. Waits for a refresh under way."""
        INSTANCES.discard(self)
        self._stopped.set()
        self._wanted.set()
        if self._thread is not None and self._thread is not current_thread():
            self._thread.join()
        self._cache.close()

    def _first(self, environment: str) -> EffectiveSnapshot:
        cache, asked_at = self._cache, self._monotonic()
        if environment in cache.unreadable and cache.is_recent:
            raise cache.refusal(environment)
        if not self._does_not_exist(environment):
            was_reached = cache.reached_at != NEVER
            # Only while nothing was ever read is a long wait worth it.
            patience = REFRESH_SECONDS if was_reached or cache.away else MAX_FIRST_WAIT_SECONDS
            if not self._wait_for_refresh(patience) and was_reached:
                cache.away = True
            with cache.publishing:
                cached = self._snapshots.get(environment)
                is_answer = cache.reached_at >= asked_at or (was_reached and cache.away)
                does_not_exist = is_answer and environment not in cache.revisions
            if cached is not None:
                return cached.effective
            if not does_not_exist:
                raise cache.refusal(environment)
        # Not cached: a caller may make up any number of names.
        return effective_snapshot(Snapshot(environment), cache.clock.now())

    def _does_not_exist(self, environment: str) -> bool:
        """Is there no such environment, by what was read last? While the database is away, as of then."""
        cache = self._cache
        if cache.reached_at == NEVER or environment in cache.revisions:
            return False
        return cache.away or (cache.is_recent and not cache.missed())

    def _next(self, environment: str) -> EffectiveSnapshot:
        cache, asked_at = self._cache, self._monotonic()
        with cache.publishing:
            renewed = cache.renewed(environment)
        if renewed:
            if cache.is_behind:
                self._wanted.set()
            return renewed.effective
        if not self._wait_until_fresh(environment):
            cache.away = True
        with cache.publishing:
            # A refresh that began since is an answer, though another instant has come meanwhile.
            if cache.reached_at < asked_at and self._monotonic() >= self._snapshots[environment].over_at:
                cache.advance(environment)
            return self._snapshots[environment].effective

    def _wait_until_fresh(self, environment: str) -> bool:
        """Wait for a refresh that serves this environment, but not for long; was there one?"""
        cache, missed = self._cache, self._cache.missed()
        is_by_plan = (cache.is_recent or cache.away) and not missed
        was_refreshed = self._wait_for(environment, MAX_WAIT_AT_INSTANT_SECONDS if is_by_plan else REFRESH_SECONDS)
        cache.given_up = cache.given_up or (missed is not None and not was_refreshed)
        return was_refreshed

    def _wait_for(self, environment: str, seconds: float) -> bool:
        if not self._snapshots[environment].effective.is_over(self._cache.clock.now()):
            # The snapshot is only too old: a refresh that is under way brings a younger one.
            if not self._wait_for_refresh(seconds, under_way=True):
                return False
            if self._monotonic() < self._snapshots[environment].ends_at:
                return True
        return self._wait_for_refresh(seconds)

    def _wait_for_refresh(self, seconds: float, *, under_way: bool = False) -> bool:
        """Wait for a refresh that begins from here on, or for one that is under way; has it finished?"""
        with self._refreshes:
            if self._stopped.is_set():
                return False
            awaited = self._begun if under_way and self._begun > self._finished else self._begun + 1
            self._wanted.set()
            self._start_threads()
            return self._refreshes.wait_for(lambda: self._finished >= awaited, seconds)

    def _start_threads(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            wanted, stopped = self._wanted, self._stopped
            self._thread = _start(_refresh_until_stopped, weakref.ref(self), wanted, stopped, name="refresher")
            if self._listen is not None and not self._listens:
                self._listens = True
                _start(self._listen, lambda _: _notified(wanted, stopped), stopped, name="listener")

    def refresh(self) -> None:
        """Refresh once, in the thread that alone does."""
        problem_before = self.problem
        with self._refreshes:
            self._begun += 1
        self._cache.refresh()
        with self._refreshes:
            self._finished = self._begun
            self._refreshes.notify_all()
        if problem_before is None and self.problem is not None:
            self._wanted.set()  # It may have been a passing problem.
        if (self.problem is None) != (problem_before is None):
            with suppress(Exception):  # The function is not ours, and refreshes must go on.
                self._on_problem(self.problem)


def _start(work: Callable[..., None], *arguments: object, name: str) -> Thread:
    thread = Thread(target=work, args=arguments, daemon=True, name=name)
    thread.start()
    return thread


def _notified(wanted: Event, stopped: Event) -> None:
    wanted.set()
    stopped.wait(BATCH_SECONDS)


def _refresh_until_stopped(ref: "weakref.ref[SnapshotRefresher]", wanted: Event, stopped: Event) -> None:
    """Refresh each REFRESH_SECONDS, and when it is wanted, as long as somebody refers to the refresher."""
    began_at = NEVER
    while True:
        wanted.wait(max(0.0, began_at + REFRESH_SECONDS - monotonic()))
        wanted.clear()
        refresher = ref()
        if refresher is None or stopped.is_set():
            stopped.set()
            return
        began_at = monotonic()
        refresher.refresh()
        del refresher


INSTANCES: "weakref.WeakSet[SnapshotRefresher]" = weakref.WeakSet()


def _reset_all() -> None:
    for refresher in INSTANCES:
        refresher.reset()


os.register_at_fork(after_in_child=_reset_all)
