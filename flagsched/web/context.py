"""What a request's code needs of the app and of the request: the store, and who is asking."""

import re
from uuid import uuid4

import structlog
from flask import Flask, Response, current_app, g, request

from flagsched.domain.history import Actor
from flagsched.ports import Store

EXTENSION = "flagsched"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def use_store(app: Flask, store: Store) -> None:
    """Have the requests of `app` work on `store`."""
    app.extensions[EXTENSION] = store


def store() -> Store:
    """Where this app keeps flags."""
    found: Store = current_app.extensions[EXTENSION]
    return found


def request_id() -> str:
    """This request's id: the caller's X-Request-Id if it is a plain one, else a new one."""
    if "flagsched_request_id" not in g:
        asked = request.headers.get("X-Request-Id", "")
        g.flagsched_request_id = asked if REQUEST_ID.fullmatch(asked) else uuid4().hex
    identified: str = g.flagsched_request_id
    return identified


def bind_log() -> None:
    """Have every log line of this request carry its id."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id())


def identify(answer: Response) -> Response:
    """Give the answer its X-Request-Id."""
    answer.headers["X-Request-Id"] = request_id()
    return answer


def admit(subject: str) -> None:
    """Take `subject` as the one who asks, from here on."""
    g.flagsched_subject = subject


def caller() -> Actor:
    """The admin who asks, and in which request."""
    return Actor(g.flagsched_subject, request_id())
