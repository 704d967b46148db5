"""/healthz and /readyz, for what watches the process."""

from http import HTTPStatus
from typing import Any

from flagsched.domain.errors import DatabaseUnavailable, SchemaOutdated
from flagsched.domain.flags import DEFAULT_ENVIRONMENT
from flagsched.web.blueprint import StrictBlueprint
from flagsched.web.schemas.health import ReadinessView, StatusView
from flagsched.web.service import service, store

blueprint = StrictBlueprint("health", "Whether the process answers and can serve.")


@blueprint.get("/healthz")
@blueprint.response(HTTPStatus.OK, StatusView)
def check_health() -> dict[str, str]:
    """Check that the process answers.

    It does not ask the database.
    """
    return {"status": "ok"}


@blueprint.get("/readyz")
@blueprint.response(HTTPStatus.OK, ReadinessView)
@blueprint.alt_response(HTTPStatus.SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE")
def check_readiness() -> dict[str, Any]:
    """Check that the process can serve.

    From a database that answers and has this release's schema, or at least from a snapshot of it.
    """
    refresher = service().refresher
    # Load the default environment: from then on the process can serve without the database.
    refresher.effective(DEFAULT_ENVIRONMENT)
    if isinstance(refresher.problem, SchemaOutdated):
        raise refresher.problem.again()
    # A stale snapshot shows that the database is away: no need to wait for it once more.
    degraded = refresher.stale or not _database_answers(required=not refresher.has_snapshot)
    return {"status": "ready", "degraded": degraded, "age": round(refresher.age_seconds) if degraded else 0}


def _database_answers(*, required: bool) -> bool:
    try:
        store().check()
    except DatabaseUnavailable:
        if required:
            raise
        return False
    return True
