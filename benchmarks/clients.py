"""Clients that keep connections and prepare their requests before they send them, so that they cost little."""

import random
import socket
from concurrent.futures import ProcessPoolExecutor
from select import EPOLLIN, epoll
from time import monotonic, sleep
from typing import Self

HEAD_START_SECONDS = 0.1
CREATED = b"201"
OK = b"200"
NOT_MODIFIED = b"304"


class Clients:
    """So many processes, each with so many connections."""

    def __init__(self, number: int, connections: int = 1) -> None:
        self.number = number
        self.connections = connections
        self._pool = ProcessPoolExecutor(number)

    def requests_per_second(
        self, port: int, requests: list[bytes], seconds: float, *, expected: bytes = CREATED
    ) -> float:
        """Send requests on all connections for so long, one after the other on each; RuntimeError for other answers."""
        begin_at = monotonic() + HEAD_START_SECONDS  # The same clock for all processes.
        running = [
            self._pool.submit(_load, port, self.connections, requests, expected, begin_at, seconds)
            for _ in range(self.number)
        ]
        return sum(client.result() for client in running)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


def post(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """A request as it is sent."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def fetch(port: int, request: bytes, expected: bytes = OK) -> bytes:
    """The whole answer to one request."""
    with _Connection(port, expected) as connection:
        connection.send(request)
        while (answer := connection.receive()) is None:
            pass
        return answer


class _Connection:
    """A connection that is kept, with the answer that arrives on it."""

    def __init__(self, port: int, expected: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._begins = b"HTTP/1.1 " + expected
        self._answer = b""

    def send(self, request: bytes) -> None:
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """Receive a part; returns the answer once it is whole."""
        if not (received := self.socket.recv(65536)):
            raise RuntimeError("the server closed the connection")
        answer = self._answer = self._answer + received
        if (head_ends := answer.find(b"\r\n\r\n")) < 0:
            return None
        if not answer.startswith(self._begins):
            raise RuntimeError(answer.decode())
        if len(answer) < head_ends + 4 + _length(answer[:head_ends]):
            return None
        self._answer = b""
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def _length(head: bytes) -> int:
    """The length of the body."""
    _, named, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if named else 0


def _load(
    port: int, connections: int, requests: list[bytes], expected: bytes, begin_at: float, seconds: float
) -> float:
    order = random.sample(requests, len(requests))  # So that clients seldom write to one flag at once.
    kept = {connection.socket.fileno(): connection for connection in _open(port, connections, expected)}
    with epoll() as ready:
        for number in kept:
            ready.register(number, EPOLLIN)
        sleep(max(0.0, begin_at - monotonic()))
        answered, began = 0, monotonic()
        for number, connection in enumerate(kept.values()):
            connection.send(order[number % len(order)])
        while (now := monotonic()) < began + seconds:
            for number, _ in ready.poll(1):
                if kept[number].receive() is not None:
                    answered += 1
                    kept[number].send(order[(answered + connections - 1) % len(order)])
    for connection in kept.values():
        connection.socket.close()
    return answered / (now - began)


def _open(port: int, connections: int, expected: bytes) -> list[_Connection]:
    return [_Connection(port, expected) for _ in range(connections)]
