"""Clients that keep a connection and know their requests before they send them, so that they cost little themselves."""

import random
import socket
from concurrent.futures import ProcessPoolExecutor
from time import monotonic, sleep
from typing import Self

HEAD_START_SECONDS = 0.1


class Clients:
    """So many processes, one for each client."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._pool = ProcessPoolExecutor(number)

    def requests_per_second(self, port: int, requests: list[bytes], seconds: float) -> float:
        """Have all of them post requests for so long, each one after the other."""
        begin_at = monotonic() + HEAD_START_SECONDS  # The same clock for all processes.
        running = [self._pool.submit(_ask, port, requests, begin_at, seconds) for _ in range(self.number)]
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


def _ask(port: int, requests: list[bytes], begin_at: float, seconds: float) -> float:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        order = random.sample(requests, len(requests))  # So that clients seldom meet at one flag.
        sleep(max(0.0, begin_at - monotonic()))
        answered, began = 0, monotonic()
        while (now := monotonic()) < began + seconds:
            connection.sendall(order[answered % len(order)])
            _read_created(connection)
            answered += 1
    return answered / (now - began)


def _read_created(connection: socket.socket) -> None:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _received(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 201"):
        raise RuntimeError(answer.decode())
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    left = length - len(body)
    while left > 0:
        left -= len(_received(connection))


def _received(connection: socket.socket) -> bytes:
    if not (received := connection.recv(65536)):
        raise RuntimeError("the server closed the connection")
    return received
