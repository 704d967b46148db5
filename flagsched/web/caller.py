"""The caller of a request: whose token it has, with which roles, and the address."""

from collections.abc import Collection

from flask import g, request

from flagsched.domain.history import Actor
from flagsched.web.request_ids import request_id

MAX_ADDRESS = 100


def caller_address() -> str:
    """The address that the request comes from, behind as many proxies as the settings count."""
    return (request.remote_addr or "")[:MAX_ADDRESS]


def set_caller(subject: str, roles: Collection[str]) -> None:
    """Make `subject`, who has these roles, the caller of this request."""
    g.flagsched_subject = subject
    g.flagsched_roles = frozenset(roles)


def caller_roles() -> frozenset[str]:
    """The roles in the token of this request."""
    roles: frozenset[str] = g.flagsched_roles
    return roles


def caller() -> Actor:
    """The caller of this request, with the request's id."""
    return Actor(g.flagsched_subject, request_id())
