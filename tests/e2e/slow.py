"""Clients on bare sockets, that send and read as slowly as they like."""

import socket
from contextlib import suppress
from http.client import HTTPConnection
from time import monotonic

PATIENCE_SECONDS = 60
OPEN: list[socket.socket] = []


def connect(address: str, sent: bytes = b"", *, receive_buffer: int | None = None) -> socket.socket:
    """A connection to a server, on which `sent` has been sent."""
    host, _, port = address.removeprefix("http://").partition(":")
    connection = socket.socket()
    OPEN.append(connection)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(PATIENCE_SECONDS)
    connection.connect((host, int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(sent)
    return connection


def close_all() -> None:
    """Close what `connect` has opened."""
    while OPEN:
        OPEN.pop().close()


def send_one(connection: socket.socket, byte: bytes) -> None:
    """Send a byte, if the server still listens."""
    with suppress(OSError):
        connection.send(byte)


def answer(connection: socket.socket) -> bytes:
    """All that the server still sends, until it closes."""
    received = b""
    with connection, suppress(ConnectionError):
        while more := connection.recv(65536):
            received += more
    return received


def was_reset(connection: socket.socket) -> bool:
    """Has the server given up, in the middle of an answer?"""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return False


def status_of(received: bytes) -> int | None:
    return int(received.split()[1]) if received else None


def seconds_to_health(address: str) -> float:
    """How long a client of good behaviour waits for GET /healthz."""
    began_at = monotonic()
    connection = HTTPConnection(address.removeprefix("http://"), timeout=PATIENCE_SECONDS)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()
    return monotonic() - began_at
