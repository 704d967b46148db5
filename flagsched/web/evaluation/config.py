"""/api/config: what applications ask; a token, where one is shown, says who the user is."""

from http import HTTPStatus
from typing import Any

from flask import Response, g, jsonify, request

from flagsched.domain.snapshot import EffectiveSnapshot
from flagsched.snapshots import evaluation
from flagsched.web.access import Access
from flagsched.web.auth import API_KEY, identified_user
from flagsched.web.blueprint import StrictBlueprint
from flagsched.web.evaluation.caching import cache_headers, etag_of, matches
from flagsched.web.schemas.flags import EnvironmentQuery, EvaluatedFlagView, FlagValuesView
from flagsched.web.schemas.headers import IF_NONE_MATCH, sent
from flagsched.web.service import service


class ConfigBlueprint(StrictBlueprint):
    """Open to callers that the rules for evaluation accept; a token that is shown must be valid."""

    REFUSALS = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
    SECURITY = ({}, {"bearer": []}, {"apiKey": []})

    def _describe(self, doc: dict[str, Any], info: dict[str, Any], **options: Any) -> dict[str, Any]:
        described = super()._describe(doc, info, **options)
        return described | {"parameters": [*described["parameters"], IF_NONE_MATCH]}


def _identify() -> None:
    g.flagsched_user = identified_user(service())


blueprint = ConfigBlueprint("config", "What applications ask: which flags are on.", url_prefix="/api/config")
blueprint.before_request(_identify)
VIEW = EvaluatedFlagView()
FRESH = sent("Cache-Control", "ETag", "Flagsched-Snapshot-Age", "Vary")


@blueprint.get("/flags")
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.response(HTTPStatus.OK, FlagValuesView, headers=FRESH)
@blueprint.alt_response(HTTPStatus.NOT_MODIFIED, description="The caller has this answer already.", headers=FRESH)
def evaluate_flags(query: dict[str, str]) -> Response:
    """Evaluate all flags of an environment.

    For the subject of the token, if there is one: which flags are on, all at one instant.
    """
    caller = g.flagsched_user
    effective = service().refresher.effective(query["environment"])
    values = {key: flag.evaluate(caller).value for key, flag in effective.flags.items()}
    return _answer(effective, caller, values)


@blueprint.get("/flags/<flag_key>")
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.response(HTTPStatus.OK, EvaluatedFlagView, headers=FRESH)
@blueprint.alt_response(HTTPStatus.NOT_MODIFIED, description="The caller has this answer already.", headers=FRESH)
def evaluate_flag(query: dict[str, str], flag_key: str) -> Response:
    """Evaluate a flag.

    `value` says whether it is on for the subject of the token, if there is one.
    """
    caller = g.flagsched_user
    evaluated = evaluation.evaluate_flag(query["environment"], flag_key, caller, refresher=service().refresher)
    return _answer(evaluated.effective, caller, VIEW.dump(evaluated), flag_key)


def _answer(effective: EffectiveSnapshot, caller: str | None, told: Any, flag_key: str | None = None) -> Response:
    etag = etag_of(effective, caller, flag_key)
    answer = Response(status=HTTPStatus.NOT_MODIFIED) if matches(etag, request) else jsonify(told)
    answer.headers.extend(cache_headers(service().refresher, effective, service().evaluation.max_age_seconds))
    answer.headers["ETag"] = etag
    answer.vary.add("Authorization")
    if service().evaluation.access is Access.KEY:
        answer.vary.add(API_KEY)
    return answer
