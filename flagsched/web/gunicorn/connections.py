"""Connections of slow clients: none holds a thread for long, whether it sends or reads slowly or not at all."""

import socket
import struct
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from selectors import EVENT_READ
from time import monotonic
from typing import Any

from gunicorn import util
from gunicorn.workers.gthread import ThreadWorker

from flagsched.web.gunicorn.heads import receive_head

DEADLINE_SECONDS = 30
"""For a head, for a body, and for reading a response, each as a whole."""
STALL_SECONDS = 10
"""How long a client may send nothing of a body, or read nothing of a response."""
LINGER_SECONDS = 2
ENFORCE_SECONDS = 0.25
MAX_LINGER_BYTES = 1024 * 1024
"""How much a client may still send after its response. A connection that is closed while it sends is reset."""


class Deadlines:
    """When each client that holds a thread must have sent its request, or read its response."""

    def __init__(self) -> None:
        # Each operation on it is atomic. A socket that was replaced or ended meanwhile was past its deadline too.
        self._running: dict[socket.socket, tuple[float, int]] = {}

    def begin(self, sock: socket.socket, how: int) -> None:
        """Replace the deadline of `sock`: in DEADLINE_SECONDS, shut down `how` (SHUT_RD or SHUT_RDWR)."""
        self._running[sock] = monotonic() + DEADLINE_SECONDS, how

    def end(self, sock: socket.socket) -> None:
        """The thread is free."""
        self._running.pop(sock, None)

    def enforce(self, now: float) -> None:
        """Shut down sockets past their deadlines: the threads that wait for them go on."""
        for sock, (at, how) in list(self._running.items()):
            if at < now:
                self.end(sock)
                with suppress(OSError):
                    _cut_off(sock, how)


def _cut_off(sock: socket.socket, how: int) -> None:
    if how == socket.SHUT_RDWR:
        # Discard what the client has not read; the kernel would keep it for minutes.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.shutdown(how)


class BoundedWorker(ThreadWorker):
    """A threaded worker in which slow heads wait in the event loop, and bodies and responses have deadlines.

    Methods run in the main thread, except `handle` and `handle_request`, which run in the pool's threads.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.reads_heads = not (self.cfg.is_ssl or "h2" in self.cfg.http_protocols)
        self.deadlines = Deadlines()
        self.enforced_at = 0.0
        self.waiting: dict[Any, None] = {}
        """Connections whose next head is not complete, the oldest first."""
        self.lingering: dict[Any, int] = {}
        """Finished connections that the client has not closed yet, and how many bytes were drained of each."""

    def load_wsgi(self) -> None:
        """Give each response its deadline."""
        super().load_wsgi()
        app: Any = self.wsgi
        deadlines = self.deadlines

        def with_deadline(environ: dict[str, Any], start_response: Any) -> Any:
            def start(*args: Any) -> Any:
                deadlines.begin(environ["gunicorn.socket"], socket.SHUT_RDWR)
                return start_response(*args)

            return app(environ, start)

        self.wsgi: Any = with_deadline

    def enqueue_req(self, conn: Any) -> None:
        """Hand a request to the pool once its head is complete."""
        if not self.reads_heads:
            super().enqueue_req(conn)
            return
        if not conn.initialized:
            conn.init()
            _set_timeouts(conn.sock)
        if not receive_head(conn):
            conn.timeout = monotonic() + DEADLINE_SECONDS
            if self.waiting and self.nr_conns >= self.worker_connections:
                self._drop(next(iter(self.waiting)))
            self.waiting[conn] = None
            self.poller.register(conn.sock, EVENT_READ, partial(self._receive_more, conn))
            return
        super().enqueue_req(conn)

    def _receive_more(self, conn: Any, _: Any) -> None:
        # It may have been dropped for another connection in the same turn of the loop.
        if conn in self.waiting and receive_head(conn):
            self._leave_loop(conn)
            super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Serve one request."""
        self.deadlines.begin(conn.sock, socket.SHUT_RD)
        try:
            return super().handle(conn)
        finally:
            self.deadlines.end(conn.sock)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Give the body its deadline, then serve the request."""
        self.deadlines.begin(conn.sock, socket.SHUT_RD)
        return super().handle_request(req, conn)

    def finish_request(self, conn: Any, fs: "Future[Any]") -> None:
        """Close a connection without waiting for the client: gunicorn would block this thread for up to 2 s."""
        if fs.cancelled() or fs.exception() is not None or fs.result():
            super().finish_request(conn, fs)
        else:
            self._linger(conn)

    def _linger(self, conn: Any) -> None:
        """Let the client read its response: a connection that is closed while the client sends is reset."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, EVENT_READ, partial(self._drain, conn))
        except (OSError, ValueError):
            self._drop(conn)
        else:
            conn.timeout = monotonic() + LINGER_SECONDS
            self.lingering[conn] = 0

    def _drain(self, conn: Any, sock: Any) -> None:
        if conn not in self.lingering:
            return
        try:
            received = len(sock.recv(MAX_LINGER_BYTES))
        except BlockingIOError:
            return
        except OSError:
            received = 0
        self.lingering[conn] += received
        if not received or self.lingering[conn] > MAX_LINGER_BYTES:
            self._drop(conn)

    def murder_pending(self) -> None:
        """Enforce all deadlines; gunicorn calls this at least once a second."""
        super().murder_pending()
        now = monotonic()
        if now - self.enforced_at < ENFORCE_SECONDS:
            return
        self.enforced_at = now
        self.deadlines.enforce(now)
        for conn in _expired(self.waiting, now):
            self._refuse(conn)
        for conn in _expired(self.lingering, now):
            self._drop(conn)

    def _refuse(self, conn: Any) -> None:
        """Answer 408, but nothing to a client that has sent nothing."""
        began = conn.parser.unreader.buf.tell() > 0
        self._leave_loop(conn)
        if began:
            with suppress(OSError):
                util.write_error(conn.sock, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_TIMEOUT.phrase, "")
        self._linger(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """When the worker stops, wait no longer for heads than for the next request of an idle connection."""
        super()._cap_keepalive(deadline)  # type: ignore[misc]
        for conn in self.waiting:
            conn.timeout = min(conn.timeout, deadline)

    def _leave_loop(self, conn: Any) -> None:
        self.waiting.pop(conn, None)
        self.lingering.pop(conn, None)
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)

    def _drop(self, conn: Any) -> None:
        self._leave_loop(conn)
        self.nr_conns -= 1
        conn.close()


def _expired(connections: dict[Any, Any], now: float) -> list[Any]:
    """Those past their timeout; the oldest stand first."""
    expired = []
    for conn in connections:
        if conn.timeout > now:
            break
        expired.append(conn)
    return expired


def _set_timeouts(sock: socket.socket) -> None:
    """Set the kernel's timeouts, since gunicorn sets none on its blocking sockets."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", STALL_SECONDS, 0))
    if hasattr(socket, "TCP_USER_TIMEOUT") and sock.family != socket.AF_UNIX:
        # Unlike SO_SNDTIMEO, this also bounds sendfile, and what the kernel still sends after a close.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALL_SECONDS * 1000)
