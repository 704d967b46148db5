"""How long a server may be waited for: one that is frozen, or gone without a word, keeps nobody waiting."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import Event, Lock, Thread
from time import monotonic, sleep
from typing import Protocol

LOOK_SECONDS = 0.1


class Connection(Protocol):
    """A driver's connection, over a socket."""

    def fileno(self) -> int:
        """The socket."""


class Deadline:
    """The time that a piece of work has, and the connections that are cut off when it is over."""

    def __init__(self, seconds: float) -> None:
        self.at = monotonic() + seconds
        self._sockets: list[int] = []
        self._lock = Lock()

    def watch(self, connection: Connection) -> None:
        """Cut `connection` off too when the time is over."""
        # A copy: the number cannot be given to another socket while we hold it.
        with self._lock:
            self._sockets.append(os.dup(connection.fileno()))

    def cut_off(self) -> None:
        """Whoever waits for an answer is told that none will come."""
        with self._lock:
            for number in self._sockets:
                with suppress(OSError), socket.socket(fileno=os.dup(number)) as cut:
                    cut.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The work is done."""
        with self._lock:
            while self._sockets:
                os.close(self._sockets.pop())


class Watch:
    """One thread that looks after all deadlines of a process; it begins with the first, also after a fork."""

    def __init__(self) -> None:
        self._running: dict[int, Deadline] = {}
        self._some = Event()
        self._process: int | None = None
        self._current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)
        self._lock = Lock()

    @contextmanager
    def within(self, seconds: float) -> Iterator[Deadline]:
        """Give the work of this block so many seconds."""
        deadline = Deadline(seconds)
        self._begin(deadline)
        outer = self._current.set(deadline)
        try:
            yield deadline
        finally:
            self._current.reset(outer)
            self._running.pop(id(deadline), None)
            deadline.close()

    def watch(self, connection: Connection) -> None:
        """Cut `connection` off too when the time of the block that this thread is in is over."""
        if deadline := self._current.get():
            deadline.watch(connection)

    def _begin(self, deadline: Deadline) -> None:
        if self._process != os.getpid():
            self._start()
        self._running[id(deadline)] = deadline
        if not self._some.is_set():
            self._some.set()

    def _start(self) -> None:
        with self._lock:
            if self._process != os.getpid():
                self._running, self._some = {}, Event()
                Thread(target=self._look, args=(self._running, self._some), daemon=True, name="deadlines").start()
                self._process = os.getpid()

    @staticmethod
    def _look(running: dict[int, Deadline], some: Event) -> None:
        while some.wait():
            sleep(LOOK_SECONDS)
            some.clear()
            for deadline in list(running.values()):
                some.set()
                if deadline.at < monotonic():
                    deadline.cut_off()


WATCH = Watch()
