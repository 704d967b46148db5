"""The caller of a request: the admin, and the address."""

from flask import g, request

from flagsched.domain.history import Actor
from flagsched.web.request_ids import request_id

MAX_ADDRESS = 100


def caller_address() -> str:
    """The address that the request comes from, behind as many proxies as the settings count."""
    return (request.remote_addr or "")[:MAX_ADDRESS]


def set_caller(subject: str) -> None:
    """Make `subject` the admin who sends this request."""
    g.flagsched_subject = subject


def caller() -> Actor:
    """The admin who sends this request, with the request's id."""
    return Actor(g.flagsched_subject, request_id())
