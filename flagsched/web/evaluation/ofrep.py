"""The OpenFeature Remote Evaluation Protocol, version 0.3: what any OpenFeature SDK asks."""

import re
from collections.abc import Collection
from http import HTTPStatus
from typing import Any, NamedTuple, NoReturn

import orjson
import structlog
from flask import Blueprint, Request, Response, request
from flask.sansio.blueprints import BlueprintSetupState
from structlog.contextvars import bound_contextvars
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.routing import PathConverter

from flagsched.domain.errors import FlagMissing, FlagschedError, Unavailable, ValidationFailed
from flagsched.domain.evaluation import Evaluation, Evaluator
from flagsched.domain.flags import DEFAULT_ENVIRONMENT, ENVIRONMENT
from flagsched.domain.snapshot import EffectiveSnapshot
from flagsched.snapshots.evaluation import evaluate_flag
from flagsched.web.access import Access
from flagsched.web.auth import require_evaluation_access
from flagsched.web.body import read_body
from flagsched.web.echo import MAX_ECHO, cut_details
from flagsched.web.errors import headers_of, log_refusal, status_of
from flagsched.web.evaluation.caching import cache_headers, etag_of, matches
from flagsched.web.request_ids import log_ids, request_id
from flagsched.web.service import Service, service
from flagsched.web.strict_json import OverLimit, parse_json, strict_decoder
from flagsched.web.unrouted import refuse_extra_slashes

log = structlog.get_logger("flagsched.web")
JSON = "application/json"
OK, BAD_REQUEST = HTTPStatus.OK.value, HTTPStatus.BAD_REQUEST.value
ASKED_BY = ("OPTIONS", "POST")
NOT_ASKED_BY = ("DELETE", "GET", "HEAD", "PATCH", "PUT")
NOT_TO_BE_GUESSED = ("X-Content-Type-Options", "nosniff")
NOT_TO_BE_KEPT = ("Cache-Control", "no-store")
ALLOWED_HEADERS = (
    "Authorization, X-API-Key, Content-Type, If-None-Match, X-Request-Id, traceparent, tracestate, baggage"
)
EXPOSED_HEADERS = "ETag, Retry-After, WWW-Authenticate, X-Request-Id, Flagsched-Snapshot-Age"
PREFLIGHT_SECONDS = "600"
SURROGATES = re.compile("[\ud800-\udfff]")
MAX_ATTRIBUTES = 1000
CONTEXT_JSON = strict_decoder(MAX_ATTRIBUTES)
BAD_ENVIRONMENT = (
    "the environment must be 1 to 64 lower-case letters, digits, '.', '_', '-', beginning with a letter or digit"
)
KEY_MISSING = {
    "errorCode": "TARGETING_KEY_MISSING",
    "errorDetails": "a percentage of users needs a context.targetingKey",
}


class AnyPath(PathConverter):
    """A path that may begin with a slash."""

    regex = ".*?"
    part_isolating = False


def _know_any_path(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["flagsched_any"] = AnyPath


blueprint = Blueprint("ofrep", __name__, url_prefix="/ofrep")
blueprint.record(_know_any_path)
blueprint.before_request(refuse_extra_slashes)


class Context(NamedTuple):
    """Who asks, and of which environment."""

    targeting_key: str | None
    environment: str


class BadContext(Exception):
    """The body is not one that OFREP knows; `code` is OpenFeature's."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code, self.details = code, details


@blueprint.post("/v1/evaluate/flags/<path:key>", provide_automatic_options=False)
def evaluate_one(key: str) -> Response:
    """One flag, for server-side providers."""
    serving = service()
    _require_access(serving)
    context = _context(request)
    evaluated = evaluate_flag(context.environment, key, context.targeting_key, refresher=serving.refresher)
    told = _one(evaluated.effective, evaluated.flag, evaluated.evaluation)
    status = OK if evaluated.evaluation.reason else BAD_REQUEST
    return Response(told, status, _kept(serving, evaluated.effective), content_type=JSON)


@blueprint.post("/v1/evaluate/flags", provide_automatic_options=False)
def evaluate_all() -> Response:
    """All flags of an environment, for client-side providers."""
    serving = service()
    _require_access(serving)
    context = _context(request)
    told = serving.refresher.effective(context.environment)
    headers = _kept(serving, told)
    etag = etag_of(told, context.targeting_key)
    headers.append(("ETag", etag))
    # Werkzeug does this for GET and HEAD alone.
    if matches(etag, request):
        return _without_body(HTTPStatus.NOT_MODIFIED, headers)
    return Response(_all(told, context.targeting_key), OK, headers, content_type=JSON)


@blueprint.route("/v1/evaluate/flags", methods=["OPTIONS"], provide_automatic_options=False)
@blueprint.route("/v1/evaluate/flags/<path:key>", methods=["OPTIONS"], provide_automatic_options=False)
def preflight(key: str = "") -> Response:
    """What a browser asks before it asks."""
    del key
    return _without_body(HTTPStatus.NO_CONTENT, [("Allow", ", ".join(ASKED_BY))])


@blueprint.route("/v1/evaluate/flags", methods=NOT_ASKED_BY, provide_automatic_options=False)
@blueprint.route("/v1/evaluate/flags/<path:key>", methods=NOT_ASKED_BY, provide_automatic_options=False)
def refuse_method(key: str = "") -> NoReturn:
    """Whoever asks otherwise is told so in OFREP's words, where a page may read them."""
    del key
    raise MethodNotAllowed(ASKED_BY)


@blueprint.route("/", defaults={"path": ""}, methods=[*NOT_ASKED_BY, *ASKED_BY], provide_automatic_options=False)
@blueprint.route("/<flagsched_any:path>", methods=[*NOT_ASKED_BY, *ASKED_BY], provide_automatic_options=False)
def refuse_path(path: str) -> NoReturn:
    """Likewise for whatever else may be under /ofrep, in later versions of the protocol."""
    del path
    raise NotFound("OFREP 0.3 has POST v1/evaluate/flags/{key} and POST v1/evaluate/flags")


@blueprint.after_request
def finish(answer: Response) -> Response:
    """Give the answer its id, and what browsers of allowed pages need. There are too many to log them."""
    answer.headers.add("X-Request-Id", request_id())
    answer.headers.add(*NOT_TO_BE_GUESSED)
    if origins := service().evaluation.origins:
        _let_pages_read(answer, origins)
    return answer


def _let_pages_read(answer: Response, origins: Collection[str]) -> None:
    origin = request.headers.get("Origin")
    answer.vary.add("Origin")
    if origin is not None and (origin in origins or ("*" in origins and len(origin) <= MAX_ECHO)):
        answer.headers["Access-Control-Allow-Origin"] = origin
        answer.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
        if request.method == "OPTIONS":
            answer.headers["Access-Control-Allow-Methods"] = "POST"
            answer.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
            answer.headers["Access-Control-Max-Age"] = PREFLIGHT_SECONDS


def _require_access(serving: Service) -> None:
    if serving.evaluation.access is not Access.PUBLIC:
        # Only here are lines logged that do not name the request themselves.
        with bound_contextvars(**log_ids()):
            require_evaluation_access(serving)


def _kept(serving: Service, told: EffectiveSnapshot) -> list[tuple[str, str]]:
    return cache_headers(serving.refresher, told, serving.evaluation.max_age_seconds)


def _one(told: EffectiveSnapshot, flag: Evaluator, evaluation: Evaluation) -> bytes:
    # There are only a few that a flag can have, as long as this moment lasts.
    which = (flag.key, evaluation.value, evaluation.reason)
    known: bytes | None = told.memo.get(which)
    if known is None:
        known = told.memo[which] = orjson.dumps(_evaluated(flag, evaluation))
    return known


def _evaluated(flag: Evaluator, evaluation: Evaluation) -> dict[str, Any]:
    if evaluation.reason is None:
        return {"key": flag.key} | KEY_MISSING
    return {
        "key": flag.key,
        "value": evaluation.value,
        "reason": evaluation.reason.value,
        "variant": evaluation.variant,
        "metadata": flag.metadata,
    }


def _all(told: EffectiveSnapshot, targeting_key: str | None) -> bytes:
    known, each = told.memo, []
    for flag in told.flags.values():
        evaluation = flag.evaluate(targeting_key)
        try:
            # As `_one` finds it, without a call for each.
            each.append(known[flag.key, evaluation.value, evaluation.reason])
        except KeyError:
            each.append(_one(told, flag, evaluation))
    return b'{"flags":[' + b",".join(each) + b"]}"


def _context(asked: Request) -> Context:
    body = _body(asked)
    context = body.get("context") if isinstance(body, dict) else None
    if not isinstance(context, dict):
        raise BadContext("INVALID_CONTEXT", "the body must be an object with an object 'context'")
    return Context(_targeting_key(context), _environment(asked, context))


def _body(asked: Request) -> Any:
    # OFREP knows neither 415 nor 413.
    if asked.environ.get("CONTENT_TYPE") != JSON and asked.mimetype != JSON:
        raise BadContext("PARSE_ERROR", "the body must be sent as Content-Type: application/json")
    try:
        return parse_json(read_body(asked), CONTEXT_JSON)
    except RequestEntityTooLarge as error:
        raise BadContext("INVALID_CONTEXT", str(error.description)) from error
    except OverLimit as error:
        raise BadContext("INVALID_CONTEXT", f"the body {error}") from error
    except ValueError as error:
        raise BadContext("PARSE_ERROR", f"the body is not JSON: {error}") from error
    except ValidationFailed as error:
        raise BadContext("PARSE_ERROR", f"{error.message}: {error.details['_schema'][0]}") from error


def _targeting_key(context: dict[str, Any]) -> str | None:
    key = context.get("targetingKey", "")
    if not isinstance(key, str):
        raise BadContext("INVALID_CONTEXT", "context.targetingKey must be a string")
    if SURROGATES.search(key):
        raise BadContext("INVALID_CONTEXT", "context.targetingKey has a lone surrogate, which is no character")
    return key or None


def _environment(asked: Request, context: dict[str, Any]) -> str:
    if asked.query_string and (named := asked.args.get("environment")) is not None:
        if ENVIRONMENT.fullmatch(named):
            return named
        raise BadContext("INVALID_CONTEXT", BAD_ENVIRONMENT)
    # What is no name of an environment is an attribute of the application's own: docs/decisions/0016.
    attribute = context.get("environment")
    return attribute if isinstance(attribute, str) and ENVIRONMENT.fullmatch(attribute) else DEFAULT_ENVIRONMENT


def _failure(status: int, told: dict[str, Any], *headers: tuple[str, str]) -> Response:
    return Response(orjson.dumps(cut_details(told)), status, [NOT_TO_BE_KEPT, *headers], content_type=JSON)


def _without_body(status: int, headers: list[tuple[str, str]]) -> Response:
    answer = Response(status=status, headers=headers)
    answer.headers.pop("Content-Type")
    return answer


def _key() -> dict[str, str]:
    """The flag's key, where one was asked for."""
    return {"key": request.view_args["key"]} if request.view_args and request.view_args.get("key") else {}


@blueprint.errorhandler(BadContext)
def answer_bad_context(error: BadContext) -> Response:
    """A body that can't be read."""
    return _failure(BAD_REQUEST, _key() | {"errorCode": error.code, "errorDetails": error.details})


@blueprint.errorhandler(FlagMissing)
def answer_missing(error: FlagMissing) -> Response:
    """A flag that does not exist."""
    return _failure(HTTPStatus.NOT_FOUND, _key() | {"errorCode": "FLAG_NOT_FOUND", "errorDetails": error.message})


@blueprint.errorhandler(FlagschedError)
def answer_refusal(error: FlagschedError) -> Response:
    """Whoever may not ask, or not now: without a body where OFREP has none."""
    log_refusal(error)
    status, headers = status_of(error), headers_of(error).items()
    if isinstance(error, Unavailable):
        return _failure(status, {"errorDetails": error.message}, *headers)
    return _without_body(status, [NOT_TO_BE_KEPT, *headers])


@blueprint.errorhandler(HTTPException)
@blueprint.errorhandler(HTTPStatus.NOT_FOUND)
@blueprint.errorhandler(HTTPStatus.METHOD_NOT_ALLOWED)
def answer_http_exception(error: HTTPException) -> Response:
    """A path or a method that is not there. By code too: an app's handler for one comes before ours for all."""
    allowed = [(name, value) for name, value in error.get_headers() if name == "Allow"]
    return _failure(error.code or 500, {"errorDetails": error.description or ""}, *allowed)


@blueprint.errorhandler(Exception)
def answer_fault(error: Exception) -> Response:
    """A fault of ours."""
    log.error("request failed", exc_info=error, **log_ids())
    return _failure(HTTPStatus.INTERNAL_SERVER_ERROR, {"errorDetails": "flagsched failed; see its log"})
