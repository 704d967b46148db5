"""/healthz and /readyz, for whoever watches the process."""

from http import HTTPStatus
from typing import Any

from flagsched.domain.errors import DatabaseUnavailable, SchemaOutdated
from flagsched.domain.flags import DEFAULT_ENVIRONMENT
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
    # Whoever is ready can do without the database from here on.
    looking.at_once(DEFAULT_ENVIRONMENT)
    if isinstance(looking.problem, SchemaOutdated):
        raise looking.problem.again()
    # Once it is known to be away, nobody waits to hear it again.
    degraded = looking.stale or not _database_answers(can_do_without=looking.knows)
    return {"status": "ready", "degraded": degraded, "age": round(looking.age_seconds) if degraded else 0}


def _database_answers(*, can_do_without: bool) -> bool:
    try:
        store().check()
    except DatabaseUnavailable:
        if not can_do_without:
            raise
        return False
    return True
