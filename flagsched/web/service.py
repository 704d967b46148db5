"""What the requests of an app work on."""

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
    """What the requests of an app work on, and within which limits."""

    store: Store
    claims: Callable[[], Mapping[str, Any]]
    """Gives the claims of the request's token, or raises Unauthenticated."""
    refresher: SnapshotRefresher
    limits: ScheduleLimits = DEFAULT_LIMITS
    rates: RateLimits | None = None
    evaluation: EvaluationRules = DEFAULT_RULES
    roles_claim: str = DEFAULT_ROLES_CLAIM


def serve(app: Flask, service: Service) -> None:
    """Have the requests of `app` work on `service`; RuntimeError if they work on another already."""
    if EXTENSION in app.extensions:
        raise RuntimeError("flagsched is registered on this app already")
    app.extensions[EXTENSION] = service


def service() -> Service:
    """What this app works on."""
    found: Service = current_app.extensions[EXTENSION]
    return found


def store() -> Store:
    """Where this app keeps flags."""
    return service().store
