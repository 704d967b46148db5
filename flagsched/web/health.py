"""/healthz and /readyz, for whoever watches the process."""

from http import HTTPStatus
from typing import Any

from flagsched.domain.errors import DatabaseUnavailable
from flagsched.web.api.blueprint import StrictBlueprint
from flagsched.web.context import service, store
from flagsched.web.schemas.health import ReadinessView, StatusView

blueprint = StrictBlueprint("health")


@blueprint.get("/healthz")
@blueprint.response(HTTPStatus.OK, StatusView)
def healthz() -> dict[str, str]:
    """Tell that the process answers."""
    return {"status": "ok"}


@blueprint.get("/readyz")
@blueprint.response(HTTPStatus.OK, ReadinessView)
def readyz() -> dict[str, Any]:
    """Tell whether the process can serve: from a database that answers and fits, or at least from a snapshot."""
    looking = service().looking
    try:
        store().check()
    except DatabaseUnavailable:
        if not looking.stale:
            raise
    return {"status": "ready", "degraded": looking.stale, "age": round(looking.age_seconds) if looking.stale else 0}
