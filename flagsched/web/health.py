"""/healthz and /readyz, for whoever watches the process."""

from flask import Blueprint

from flagsched.web.context import store

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@blueprint.get("/readyz")
def readyz() -> dict[str, str]:
    """The process can serve: the database answers and its schema fits; else 503 says which of them does not."""
    store().check()
    return {"status": "ready"}
