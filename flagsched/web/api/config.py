"""/api/config: what applications ask, without a token."""

from http import HTTPStatus

from flagsched.usecases import evaluation
from flagsched.usecases.evaluation import Evaluated
from flagsched.web.api.blueprint import StrictBlueprint, named
from flagsched.web.context import store
from flagsched.web.schemas.flags import EnvironmentQuery, EvaluatedFlagView, FlagValuesView

blueprint = StrictBlueprint("config", url_prefix="/api/config")


@blueprint.get("/flags")
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.response(HTTPStatus.OK, FlagValuesView)
def evaluate_flags(query: dict[str, str]) -> dict[str, bool]:
    """Tell which flags are on."""
    return evaluation.evaluate_flags(query["environment"], store=store())


@blueprint.get("/flags/<flag_key>")
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.response(HTTPStatus.OK, EvaluatedFlagView)
def evaluate_flag(query: dict[str, str], flag_key: str) -> Evaluated:
    """Tell whether a flag is on."""
    return evaluation.evaluate_flag(named(query, flag_key), store=store())
