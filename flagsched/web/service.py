"""What an app serves: its store, its snapshots and its rules. Each request finds it in `app.extensions`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask, current_app

from flagsched.domain.limits import DEFAULT_LIMITS, ScheduleLimits
from flagsched.ports.store import Store
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.web.access import DEFAULT_RULES, EvaluationRules
from flagsched.web.rate_limits import RateLimits
from flagsched.web.tokens.claims import DEFAULT_ROLES_CLAIM

EXTENSION = "flagsched"


@dataclass(frozen=True, slots=True)
class Service:
    """The store and the snapshots of one app, how it verifies tokens, and its limits."""

    store: Store
    claims: Callable[[], Mapping[str, Any]]
    """Returns the claims of the request's token, or raises Unauthenticated."""
    refresher: SnapshotRefresher
    limits: ScheduleLimits = DEFAULT_LIMITS
    rates: RateLimits | None = None
    evaluation: EvaluationRules = DEFAULT_RULES
    roles_claim: str = DEFAULT_ROLES_CLAIM


def serve(app: Flask, service: Service) -> None:
    """Let `app` serve `service`; RuntimeError if it has one already."""
    if EXTENSION in app.extensions:
        raise RuntimeError("flagsched is registered on this app already")
    app.extensions[EXTENSION] = service


def service() -> Service:
    """The service of the current app."""
    registered: Service = current_app.extensions[EXTENSION]
    return registered


def store() -> Store:
    """The store of the current app."""
    return service().store
