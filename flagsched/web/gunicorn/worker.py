"""gunicorn's own responses: errors in JSON like all others, and without the server's version."""

import gc
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import structlog
from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.errors import (  # type: ignore[attr-defined]
    ConfigurationProblem,
    ExpectationFailed,
    ForbiddenProxyRequest,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.http.parser import RequestParser

from flagsched.domain.errors import Unavailable
from flagsched.domain.flags import DEFAULT_ENVIRONMENT
from flagsched.web.errors import code_of, error_body
from flagsched.web.gunicorn.connections import BoundedWorker
from flagsched.web.gunicorn.heads import BoundedRequest
from flagsched.web.headers import SECURITY_HEADERS
from flagsched.web.service import EXTENSION, Service

log = structlog.get_logger("flagsched.web")
SERVER = "flagsched"
COMMON_HEADERS = "".join(f"{name}: {value}\r\n" for name, value in SECURITY_HEADERS.items())
APP_FAULTS = (InvalidResponseHeader, InvalidResponseHeaderName)
STATUS: dict[type[ParseException], HTTPStatus] = {
    # The path is not one below SCRIPT_NAME.
    ConfigurationProblem: HTTPStatus.NOT_FOUND,
    ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    ForbiddenProxyRequest: HTTPStatus.FORBIDDEN,
    LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
}
"""All other errors are 400."""


class JsonWorker(BoundedWorker):
    """A threaded worker whose errors, for requests that never reach the app, are JSON like all others."""

    def init_process(self) -> None:
        """Before the first request."""
        # gunicorn offers no setting for any of these.
        wsgi.SERVER = SERVER  # type: ignore[attr-defined]
        util.write_error = write_error  # type: ignore[assignment]
        RequestParser.mesg_class = BoundedRequest
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the snapshot before the first request, if the database answers."""
        super().load_wsgi()
        service: Service | None = getattr(self.app.wsgi(), "extensions", {}).get(EXTENSION)
        if service is not None:
            with suppress(Unavailable):
                service.refresher.effective(DEFAULT_ENVIRONMENT)
        # What is loaded now lives as long as the process: garbage collections need not go through it.
        gc.collect()
        gc.freeze()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Refuse bytes that are not a valid request. The error's text quotes them, so it is not logged."""
        if not isinstance(exc, ParseException) or isinstance(exc, APP_FAULTS):
            super().handle_error(req, client, addr, exc)
            return
        status, request_id = STATUS.get(type(exc), HTTPStatus.BAD_REQUEST), uuid4().hex
        address = addr[0] if isinstance(addr, tuple) else None
        log.info(
            "request refused", error=code_of(status), cause=type(exc).__name__, address=address, request_id=request_id
        )
        with suppress(OSError):
            _answer(client, status, request_id)


def write_error(client: Any, status: int, reason: str, message: str) -> None:
    """Answer a request that can't be read; gunicorn closes the connection."""
    del reason, message  # The message quotes what was sent.
    _answer(client, HTTPStatus(status), uuid4().hex)


def _answer(client: Any, status: HTTPStatus, request_id: str) -> None:
    body = error_body(code_of(status), status.phrase, None, request_id)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"X-Request-Id: {request_id}\r\n{COMMON_HEADERS}Content-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(client, (head + body).encode("latin1"))
