"""Deadlines of transactions: a server that is frozen, or gone without closing its connections, holds up no thread."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import Event, Lock, Thread
from time import monotonic, sleep
from typing import Protocol

CHECK_SECONDS = 0.1


class Connection(Protocol):
    """A driver's connection, over a socket."""

    def fileno(self) -> int:
        """The socket."""


class Deadline:
    """When a piece of work must be done, and the connections that are cut off then."""

    def __init__(self, seconds: float) -> None:
        self.at = monotonic() + seconds
        self._sockets: list[int] = []
        self._lock = Lock()

    def watch(self, connection: Connection) -> None:
        """Cut `connection` off too at the deadline."""
        # A duplicate: its number is not given to another socket before we close it.
        with self._lock:
            self._sockets.append(os.dup(connection.fileno()))

    def cut_off(self) -> None:
        """Shut the connections down: a thread that waits for one gets an error."""
        with self._lock:
            for number in self._sockets:
                with suppress(OSError), socket.socket(fileno=os.dup(number)) as duplicate:
                    duplicate.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The work is done."""
        with self._lock:
            while self._sockets:
                os.close(self._sockets.pop())


class Deadlines:
    """One thread enforces all deadlines of a process; the first deadline starts it, also after a fork."""

    def __init__(self) -> None:
        self._running: dict[int, Deadline] = {}
        self._any = Event()
        self._process: int | None = None
        self._current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)
        self._lock = Lock()

    @contextmanager
    def within(self, seconds: float) -> Iterator[Deadline]:
        """Give this block so many seconds."""
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
        """Cut `connection` off too at the deadline of the block that this thread is in."""
        if deadline := self._current.get():
            deadline.watch(connection)

    def _begin(self, deadline: Deadline) -> None:
        if self._process != os.getpid():
            self._start()
        self._running[id(deadline)] = deadline
        if not self._any.is_set():
            self._any.set()

    def _start(self) -> None:
        with self._lock:
            if self._process != os.getpid():
                self._running, self._any = {}, Event()
                Thread(target=self._enforce, args=(self._running, self._any), daemon=True, name="deadlines").start()
                self._process = os.getpid()

    @staticmethod
    def _enforce(running: dict[int, Deadline], any_running: Event) -> None:
        while any_running.wait():
            sleep(CHECK_SECONDS)
            any_running.clear()
            for deadline in list(running.values()):
                any_running.set()
                if deadline.at < monotonic():
                    deadline.cut_off()


DEADLINES = Deadlines()
