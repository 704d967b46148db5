"""A request: its id, who asks, its line in the log, and the headers of its answer."""

import re
from http import HTTPStatus
from random import getrandbits
from time import perf_counter

import structlog
from flask import Response, g, request
from werkzeug.exceptions import NotFound

from flagsched.domain.history import Actor
from flagsched.web.echo import cut

# What a browser may do with an answer: not guess its type, not frame it, not keep it, not run anything in it.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


BODILESS = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


IDENTIFIED = "flagsched.request_id"


MAX_ADDRESS = 100


REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


# W3C Trace Context, level 1, section 3.2.2: only versions after 00 may go on after the flags.
TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)


def caller_address() -> str:
    """Where the request comes from, as far as the proxies before us are known; for the log."""
    return (request.remote_addr or "")[:MAX_ADDRESS]


def request_id() -> str:
    """This request's id: the caller's X-Request-Id if it is a plain one, else a new one."""
    environ = request.environ
    identified: str | None = environ.get(IDENTIFIED)
    if identified is None:
        asked = environ.get("HTTP_X_REQUEST_ID")
        environ[IDENTIFIED] = identified = asked if asked and REQUEST_ID.fullmatch(asked) else _new_id()
    return identified


def identity() -> dict[str, str]:
    """What this request is known by in the log: its id, and its trace's where it has a valid W3C traceparent."""
    traced = TRACEPARENT.fullmatch(request.environ.get("HTTP_TRACEPARENT", ""))
    return {"request_id": request_id()} | (traced.groupdict() if traced else {})


def _new_id() -> str:
    # Unlike all others, but no secret: no need to ask the system for randomness.
    return f"{getrandbits(128):032x}"


def begin() -> None:
    """Have every log line of this request carry its id and its trace's, until `finish`."""
    g.flagsched_began = perf_counter()
    g.flagsched_bound = structlog.contextvars.bind_contextvars(**identity())


def refuse_extra_slashes() -> None:
    """NotFound for `//api/…`: it is another path than `/api/…`, though Werkzeug matches both."""
    if request.environ["PATH_INFO"].startswith("//"):
        raise NotFound


def begin_unrouted() -> None:
    """What `begin` does, for requests that reach none of our blueprints."""
    if request.blueprint is None:
        begin()
        refuse_extra_slashes()


def finish_unrouted(answer: Response) -> Response:
    """What `finish` does, for requests that reach none of our blueprints."""
    return finish(answer) if request.blueprint is None else answer


def finish(answer: Response) -> Response:
    """Give the answer its X-Request-Id and the headers that every answer has, and log the request."""
    if "flagsched_bound" not in g:
        begin()  # Somebody's own before_request has answered before ours.
    mark(answer)
    log.info(
        "request",
        method=cut(request.method),
        # The rule and not the path: so that a log can be counted by it.
        route=request.url_rule.rule if request.url_rule else None,
        status=answer.status_code,
        subject=g.get("flagsched_subject"),
        milliseconds=round((perf_counter() - g.flagsched_began) * 1000, 1),
    )
    structlog.contextvars.reset_contextvars(**g.pop("flagsched_bound"))
    return answer


def mark(answer: Response) -> Response:
    """Give the answer the headers that every answer has."""
    if answer.status_code in BODILESS:
        answer.headers.pop("Content-Type", None)
    # All at once: each look for a header goes through all of them.
    present = {name.lower() for name, _ in answer.headers}
    missing = [(name, value) for name, value in HEADERS.items() if name.lower() not in present]
    answer.headers.extend([("X-Request-Id", request_id()), *missing])
    return answer


def admit(subject: str) -> None:
    """Take `subject` as the one who asks, from here on."""
    g.flagsched_subject = subject


def caller() -> Actor:
    """The admin who asks, and in which request."""
    return Actor(g.flagsched_subject, request_id())


log = structlog.get_logger("flagsched.web")
