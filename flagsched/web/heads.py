"""The head of a request, as far as it has arrived."""

import socket
from typing import Any

MAX_HEAD = 64 * 1024
MAX_LINE = 8190
"""As gunicorn.conf.py limits lines; a longer one without an end goes to the parser, which refuses it."""
SLACK = 8


def peek(connection: Any) -> bytes | None:
    """As much of the next head as has arrived, taking nothing; None if the connection has ended."""
    held: bytes = connection.parser.unreader.buf.getvalue() if connection.parser else b""
    try:
        arrived: bytes = connection.sock.recv(MAX_HEAD, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return held
    except OSError:
        return None
    return held + arrived if arrived else None


def is_whole(head: bytes) -> bool:
    """Can the parser accept or refuse it without waiting for more?"""
    return (
        b"\r\n\r\n" in head
        or head.count(b"\n") != head.count(b"\r\n")  # A bare LF is refused.
        or len(head) - head.rfind(b"\n") > MAX_LINE + SLACK
        or len(head) >= MAX_HEAD
    )
