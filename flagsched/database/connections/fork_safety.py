"""Forked processes: they have nothing of their parent's connections, on SQLite not even what it knows of its locks."""

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

import sqlalchemy as sa

MAX_WAIT_SECONDS = 5.0


class Gate:
    """Lets many through at a time, and nobody while it is closed."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Be open, and nobody inside."""
        self._changed = Condition()
        self._inside = 0
        self._closed = False

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Be inside for a block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed, MAX_WAIT_SECONDS)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Wait until nobody is inside, but not without end: whoever forks may be inside himself."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._inside, MAX_WAIT_SECONDS)

    def open(self) -> None:
        """Let them through again."""
        with self._changed:
            self._closed = False
            self._changed.notify_all()


def isolate_forks(engine: sa.Engine) -> None:
    """In each process that is forked from now on, `engine` opens connections of its own."""
    ENGINES.add(engine)


def _before() -> None:
    SQLITE.close()
    for engine in ENGINES:
        if engine.dialect.name == "sqlite":
            # SQLite keeps the locks that it has in memory: a child that inherits them believes that it has them.
            engine.dispose()


def _in_child() -> None:
    SQLITE.begin()  # Whoever waited at it, or was inside, is not here.
    for engine in ENGINES:
        # Kept, since it is not ours to close what the parent goes on with.
        LEFT.append(engine.pool)
        engine.dispose(close=False)


ENGINES: "weakref.WeakSet[sa.Engine]" = weakref.WeakSet()
LEFT: list[sa.Pool] = []
SQLITE = Gate()
"""Transactions on SQLite are inside; forks wait for them."""
os.register_at_fork(before=_before, after_in_parent=SQLITE.open, after_in_child=_in_child)
