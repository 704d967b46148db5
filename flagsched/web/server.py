"""What gunicorn answers by itself, in our words: JSON errors, and no word of who serves."""

import json
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from gunicorn import util
from gunicorn.http import wsgi

from flagsched.domain.flags import DEFAULT_ENVIRONMENT
from flagsched.web.connections import BoundedWorker
from flagsched.web.context import EXTENSION, HEADERS, Service
from flagsched.web.errors import code_of

SERVER = "flagsched"
COMMON = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())


class JsonWorker(BoundedWorker):
    """A threaded worker whose errors, for requests that never reach the app, are JSON like all others."""

    def init_process(self) -> None:
        """Before the first request."""
        # gunicorn offers no setting for either.
        wsgi.SERVER = SERVER  # type: ignore[attr-defined]
        util.write_error = write_error  # type: ignore[assignment]
        super().init_process()

    def load_wsgi(self) -> None:
        """In the process that serves: have it answer without the database from soon on, whoever asks first."""
        super().load_wsgi()
        found: Service | None = getattr(self.app.wsgi(), "extensions", {}).get(EXTENSION)
        if found is not None:
            found.looking.expect(DEFAULT_ENVIRONMENT)


def write_error(client: Any, status: int, reason: str, message: str) -> None:
    """Answer a request that could not be parsed, and close the connection."""
    if status == HTTPStatus.NOT_IMPLEMENTED:
        # A transfer coding that nobody knows is the client's fault; we have nothing to implement.
        status, reason = HTTPStatus.BAD_REQUEST.value, HTTPStatus.BAD_REQUEST.phrase
    http_status = HTTPStatus(status)
    body = json.dumps(
        {
            "error": code_of(http_status),
            "message": http_status.phrase,
            "details": None,
            "requestId": (made := uuid4().hex),
        }
    )
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"X-Request-Id: {made}\r\n{COMMON}Content-Length: {len(body)}\r\n\r\n"
    )
    del message  # It quotes what was sent.
    util.write_nonblock(client, (head + body).encode("latin1"))
