"""/healthz and /readyz, for whoever watches the process."""

from http import HTTPStatus

from flagsched.web.api.blueprint import StrictBlueprint
from flagsched.web.context import store
from flagsched.web.schemas.health import StatusView

blueprint = StrictBlueprint("health")


@blueprint.get("/healthz")
@blueprint.response(HTTPStatus.OK, StatusView)
def healthz() -> dict[str, str]:
    """Tell that the process answers."""
    return {"status": "ok"}


@blueprint.get("/readyz")
@blueprint.response(HTTPStatus.OK, StatusView)
def readyz() -> dict[str, str]:
    """Tell whether the process can serve: the database answers and its schema fits."""
    store().check()
    return {"status": "ready"}
