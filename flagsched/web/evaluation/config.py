"""/api/config: evaluation by GET; a token, if there is one, names the user."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Response, g, jsonify, request
from marshmallow import Schema

from flagsched.domain.snapshot import EffectiveSnapshot
from flagsched.snapshots import evaluation
from flagsched.web.access import Access
from flagsched.web.auth import API_KEY, Authentication, identified_user
from flagsched.web.blueprint import StrictBlueprint
from flagsched.web.evaluation.caching import cache_headers, etag_of, matches
from flagsched.web.schemas.flags import EnvironmentQuery, EvaluatedFlagView, FlagValuesView
from flagsched.web.schemas.headers import IF_NONE_MATCH, response_headers
from flagsched.web.service import service


def _identify() -> None:
    g.flagsched_user = identified_user(service())


APPLICATIONS = Authentication(
    _identify,
    security=({}, {"bearer": []}, {"apiKey": []}),
    refusals=frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}),
)
"""Callers that the rules for evaluation accept. A token must be valid wherever one is sent."""
blueprint = StrictBlueprint(
    "config", "What applications ask: which flags are on.", url_prefix="/api/config", authentication=APPLICATIONS
)
VIEW = EvaluatedFlagView()
FRESH = response_headers("Cache-Control", "ETag", "Flagsched-Snapshot-Age", "Vary")


def _evaluates(schema: type[Schema]) -> Callable[..., Any]:
    """Load the environment, and describe the response: `schema`, or 304 if the caller's If-None-Match names it."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        view = blueprint.alt_response(
            HTTPStatus.NOT_MODIFIED, description="The caller has this answer already.", headers=FRESH
        )(view)
        view = blueprint.response(HTTPStatus.OK, schema, headers=FRESH)(view)
        view = blueprint.loads(EnvironmentQuery)(view)
        view._apidoc["arguments"]["parameters"].append(IF_NONE_MATCH)  # type: ignore[attr-defined]
        return view

    return decorate


@blueprint.get("/flags")
@_evaluates(FlagValuesView)
def evaluate_flags(environment: str) -> Response:
    """Evaluate all flags of an environment.

    For the subject of the token, if there is one: which flags are on, all at one instant.
    """
    effective = service().refresher.effective(environment)
    values = {key: flag.evaluate(g.flagsched_user).value for key, flag in effective.flags.items()}
    return _response(effective, values)


@blueprint.get("/flags/<flag_key>")
@_evaluates(EvaluatedFlagView)
def evaluate_flag(environment: str, flag_key: str) -> Response:
    """Evaluate a flag.

    `value` says whether it is on for the subject of the token, if there is one.
    """
    evaluated = evaluation.evaluate_flag(environment, flag_key, g.flagsched_user, refresher=service().refresher)
    return _response(evaluated.effective, VIEW.dump(evaluated), flag_key)


def _response(effective: EffectiveSnapshot, body: Any, flag_key: str | None = None) -> Response:
    etag = etag_of(effective, g.flagsched_user, flag_key)
    response = Response(status=HTTPStatus.NOT_MODIFIED) if matches(etag, request) else jsonify(body)
    response.headers.extend(cache_headers(service().refresher, effective, service().evaluation.max_age_seconds))
    response.headers["ETag"] = etag
    response.vary.add("Authorization")
    if service().evaluation.access is Access.KEY:
        response.vary.add(API_KEY)
    return response
