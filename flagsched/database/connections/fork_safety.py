"""Forked processes use none of their parent's connections, and on SQLite none of its locks."""

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

import sqlalchemy as sa

MAX_WAIT_SECONDS = 5.0


class ForkLock:
    """Many transactions share it, and a fork holds it alone."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """As if nothing had ever held it: so in a child, which has only the thread that forked."""
        self._changed = Condition()
        self._shared = 0
        self._forking = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold it for a block, beside others."""
        with self._changed:
            self._changed.wait_for(lambda: not self._forking, MAX_WAIT_SECONDS)
            self._shared += 1
        try:
            yield
        finally:
            with self._changed:
                self._shared -= 1
                self._changed.notify_all()

    def acquire(self) -> None:
        """Wait until no transaction holds it, but not without end: the thread that forks may be in one itself."""
        with self._changed:
            self._forking = True
            self._changed.wait_for(lambda: not self._shared, MAX_WAIT_SECONDS)

    def release(self) -> None:
        """The fork is done."""
        with self._changed:
            self._forking = False
            self._changed.notify_all()


def make_fork_safe(engine: sa.Engine) -> None:
    """In each process that is forked from now on, `engine` opens connections of its own."""
    FORK_SAFE_ENGINES.add(engine)


def _before_fork() -> None:
    SQLITE_FORK_LOCK.acquire()
    for engine in FORK_SAFE_ENGINES:
        if engine.dialect.name == "sqlite":
            # SQLite keeps in memory which locks it holds: a child that inherits that believes that it holds them.
            engine.dispose()


def _in_child() -> None:
    SQLITE_FORK_LOCK.reset()
    for engine in FORK_SAFE_ENGINES:
        # Not freed, or its connections would be closed, which the parent still uses.
        PARENT_POOLS.append(engine.pool)
        engine.dispose(close=False)


FORK_SAFE_ENGINES: "weakref.WeakSet[sa.Engine]" = weakref.WeakSet()
PARENT_POOLS: list[sa.Pool] = []
SQLITE_FORK_LOCK = ForkLock()
os.register_at_fork(before=_before_fork, after_in_parent=SQLITE_FORK_LOCK.release, after_in_child=_in_child)
