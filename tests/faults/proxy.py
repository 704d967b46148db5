"""A proxy before PostgreSQL that holds a COMMIT up, or cuts it off when it has gone through, before it is answered."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import sqlalchemy as sa

from tests.databases import socket_of

TERMINATE = b"X\x00\x00\x00\x04"
"""PostgreSQL's message for a connection that is closed. Source: its manual, section 54.7."""
COMMIT = b"COMMIT\x00"
READY = b"Z\x00\x00\x00\x05I"
LOOK_SECONDS = 0.2


class Proxy:
    """Passes on what comes, a COMMIT only after `commit_delay` seconds.

    `lead_to` changes the server for all who come from then on, `hang_up` ends the connections of the others.

    If `hang_up_when_ready` is set, it ends each connection once the server waits for a query. If `cut_commits` is set,
    it passes on a COMMIT, waits a while, and hangs up. `asked` counts what the clients sent: a driver that waits for
    each answer makes a round trip of it. A closed connection's last message has no answer, and comes when it comes.
    """

    def __init__(self, server: Path) -> None:
        self.commit_delay = 0.0
        self.cut_commits = False
        self.hang_up_when_ready = False
        self.cuts = 0
        self.asked = 0
        self._server = server
        self._ends: list[socket.socket] = []
        self._over = Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]

    def serve(self) -> None:
        """Until it is over."""
        self._listening.settimeout(LOOK_SECONDS)
        while not self._over.is_set():
            with suppress(TimeoutError):
                client, _ = self._listening.accept()
                self._join(client)
        self._listening.close()

    def stop(self) -> None:
        self._over.set()

    def lead_to(self, server: Path) -> None:
        self._server = server

    def hang_up(self) -> None:
        while self._ends:
            with suppress(OSError):
                self._ends.pop().shutdown(socket.SHUT_RDWR)

    def _join(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(str(self._server))
        except OSError:  # It is not there.
            client.close()
            server.close()
            return
        self._ends += [client, server]
        for one, other, asks in ((client, server, True), (server, client, False)):
            Thread(target=self._pass_on, args=(one, other), kwargs={"asks": asks}, daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket, *, asks: bool) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                self.asked += asks and data != TERMINATE
                if asks and self.cut_commits and COMMIT in data:
                    # No answer gets through from here on, and the server does what it was told.
                    one.shutdown(socket.SHUT_RDWR)
                    self.cuts += 1
                    self.cut_commits = False
                    other.sendall(data)
                    self._over.wait(LOOK_SECONDS)
                    break
                if asks and COMMIT in data:
                    self._over.wait(self.commit_delay)
                other.sendall(data)
                if not asks and self.hang_up_when_ready and READY in data:
                    break
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        one.close()


@contextmanager
def through_proxy(url: sa.URL) -> Iterator[tuple[sa.URL, Proxy]]:
    """The same database by way of a proxy."""
    proxy = Proxy(socket_of(url))
    serving = Thread(target=proxy.serve)
    serving.start()
    try:
        yield url.set(host="127.0.0.1", port=proxy.port, query={"sslmode": "disable"}), proxy
    finally:
        proxy.stop()
        serving.join()
