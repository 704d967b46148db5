"""The head of a request: bounded as a whole, and refused as soon as it can no longer become valid."""

import os
import socket
from typing import Any

from gunicorn.http.errors import InvalidHeader, LimitRequestHeaders
from gunicorn.http.message import Request

MAX_HEAD = 64 * 1024
MAX_LINE = 8190
"""gunicorn's limit; a longer line without an end goes to the parser, which refuses it."""
SLACK = 8


class BoundedRequest(Request):
    """A request with a limited head: gunicorn's parser takes time quadratic in its size."""

    head_size = 0
    """How much was read while the head was not whole."""

    def parse(self, unreader: Any) -> Any:
        """Parse no more than MAX_HEAD."""
        self.max_buffer_headers = MAX_HEAD
        return super().parse(unreader)

    def read_into(self, unreader: Any, buf: bytearray, stop: bool | None = False) -> None:
        """Read more, unless the current header line is too long already."""
        # The parser itself bounds the request line, which is read while there is no method.
        if self.method is not None:
            line = buf[buf.rfind(b"\n") + 1 :]
            if len(line) > self.limit_request_field_size:
                raise LimitRequestHeaders("a line") if b":" in line else InvalidHeader("a line")
            if self.head_size >= MAX_HEAD:
                raise LimitRequestHeaders("the head")
        before = len(buf)
        super().read_into(unreader, buf, stop)
        self.head_size += len(buf) - before


def receive_head(connection: Any) -> bool:
    """Read what has arrived of the next head; can the parser go on without waiting for more?"""
    buffer = connection.parser.unreader.buf
    buffer.seek(0, os.SEEK_END)
    try:
        # Never more than the limit: how the packets fall must not decide what is refused.
        arrived = connection.sock.recv(max(MAX_HEAD - buffer.tell(), 1), socket.MSG_DONTWAIT)
        buffer.write(arrived)
    except BlockingIOError:
        arrived = None
    except OSError:
        return True
    # After the client's last byte, the parser reports what is missing.
    return arrived == b"" or is_whole(buffer.getvalue())


def is_whole(head: bytes) -> bool:
    """Can the parser accept or refuse this head without waiting for more?"""
    return (
        b"\r\n\r\n" in head
        or head.count(b"\n") != head.count(b"\r\n")  # A bare LF is refused.
        or len(head) - head.rfind(b"\n") > MAX_LINE + SLACK
        or len(head) >= MAX_HEAD
    )
