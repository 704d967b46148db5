"""The OpenFeature Remote Evaluation Protocol (OFREP), version 0.3, for any OpenFeature SDK."""

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
from flagsched.web.errors import FAULT_MESSAGE, headers_of, log_refusal, status_of
from flagsched.web.evaluation.caching import cache_headers, etag_of, matches
from flagsched.web.request_ids import log_ids, request_id
from flagsched.web.schemas.fields import ENVIRONMENT_MESSAGE
from flagsched.web.service import Service, service
from flagsched.web.strict_json import OverLimit, parse_json, strict_decoder
from flagsched.web.unrouted import refuse_extra_slashes

log = structlog.get_logger("flagsched.web")
JSON = "application/json"
OK, BAD_REQUEST = HTTPStatus.OK.value, HTTPStatus.BAD_REQUEST.value
METHODS = ("OPTIONS", "POST")
OTHER_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "PUT")
NOSNIFF = ("X-Content-Type-Options", "nosniff")
NO_STORE = ("Cache-Control", "no-store")
ALLOWED_HEADERS = (
    "Authorization, X-API-Key, Content-Type, If-None-Match, X-Request-Id, traceparent, tracestate, baggage"
)
EXPOSED_HEADERS = "ETag, Retry-After, WWW-Authenticate, X-Request-Id, Flagsched-Snapshot-Age"
PREFLIGHT_SECONDS = "600"
SURROGATES = re.compile("[\ud800-\udfff]")
MAX_ATTRIBUTES = 1000
CONTEXT_JSON = strict_decoder(MAX_ATTRIBUTES)
KEY_MISSING = {
    "errorCode": "TARGETING_KEY_MISSING",
    "errorDetails": "a percentage of users needs a context.targetingKey",
}


class AnyPath(PathConverter):
    """A path that may begin with a slash."""

    regex = ".*?"
    part_isolating = False


def _register_any_path(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["flagsched_any"] = AnyPath


blueprint = Blueprint("ofrep", __name__, url_prefix="/ofrep")
blueprint.record(_register_any_path)
blueprint.before_request(refuse_extra_slashes)


class Context(NamedTuple):
    """The user, and the environment of the flags."""

    targeting_key: str | None
    environment: str


class BadContext(Exception):
    """The body is not valid in OFREP; `code` is OpenFeature's."""

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
    body = _result(evaluated.effective, evaluated.flag, evaluated.evaluation)
    status = OK if evaluated.evaluation.reason else BAD_REQUEST
    return Response(body, status, _cache_headers(serving, evaluated.effective), content_type=JSON)


@blueprint.post("/v1/evaluate/flags", provide_automatic_options=False)
def evaluate_all() -> Response:
    """All flags of an environment, for client-side providers."""
    serving = service()
    _require_access(serving)
    context = _context(request)
    effective = serving.refresher.effective(context.environment)
    headers = _cache_headers(serving, effective)
    etag = etag_of(effective, context.targeting_key)
    headers.append(("ETag", etag))
    # Werkzeug answers 304 to GET and HEAD alone.
    if matches(etag, request):
        return _without_body(HTTPStatus.NOT_MODIFIED, headers)
    return Response(_results(effective, context.targeting_key), OK, headers, content_type=JSON)


@blueprint.route("/v1/evaluate/flags", methods=["OPTIONS"], provide_automatic_options=False)
@blueprint.route("/v1/evaluate/flags/<path:key>", methods=["OPTIONS"], provide_automatic_options=False)
def preflight(key: str = "") -> Response:
    """Answer a browser's preflight."""
    del key
    return _without_body(HTTPStatus.NO_CONTENT, [("Allow", ", ".join(METHODS))])


@blueprint.route("/v1/evaluate/flags", methods=OTHER_METHODS, provide_automatic_options=False)
@blueprint.route("/v1/evaluate/flags/<path:key>", methods=OTHER_METHODS, provide_automatic_options=False)
def refuse_method(key: str = "") -> NoReturn:
    """Refuse other methods in OFREP's format, with the headers that let a web page read it."""
    del key
    raise MethodNotAllowed(METHODS)


@blueprint.route("/", defaults={"path": ""}, methods=[*OTHER_METHODS, *METHODS], provide_automatic_options=False)
@blueprint.route("/<flagsched_any:path>", methods=[*OTHER_METHODS, *METHODS], provide_automatic_options=False)
def refuse_path(path: str) -> NoReturn:
    """Refuse all other paths under /ofrep likewise, among them those of later versions of the protocol."""
    del path
    raise NotFound("OFREP 0.3 has POST v1/evaluate/flags/{key} and POST v1/evaluate/flags")


@blueprint.after_request
def finish(response: Response) -> Response:
    """Add the headers of every OFREP response. There is no access log: evaluations are too many."""
    response.headers.add("X-Request-Id", request_id())
    response.headers.add(*NOSNIFF)
    if origins := service().evaluation.origins:
        _add_cors_headers(response, origins)
    return response


def _add_cors_headers(response: Response, origins: Collection[str]) -> None:
    origin = request.headers.get("Origin")
    response.vary.add("Origin")
    if origin is not None and (origin in origins or ("*" in origins and len(origin) <= MAX_ECHO)):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = "POST"
            response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
            response.headers["Access-Control-Max-Age"] = PREFLIGHT_SECONDS


def _require_access(serving: Service) -> None:
    if serving.evaluation.access is not Access.PUBLIC:
        # Only the check of tokens logs lines without the request's ids.
        with bound_contextvars(**log_ids()):
            require_evaluation_access(serving)


def _cache_headers(serving: Service, effective: EffectiveSnapshot) -> list[tuple[str, str]]:
    return cache_headers(serving.refresher, effective, serving.evaluation.max_age_seconds)


def _result(effective: EffectiveSnapshot, flag: Evaluator, evaluation: Evaluation) -> bytes:
    # A flag has only a few different results in one effective snapshot.
    key = (flag.key, evaluation.value, evaluation.reason)
    result: bytes | None = effective.memo.get(key)
    if result is None:
        result = effective.memo[key] = orjson.dumps(_result_fields(flag, evaluation))
    return result


def _result_fields(flag: Evaluator, evaluation: Evaluation) -> dict[str, Any]:
    if evaluation.reason is None:
        return {"key": flag.key} | KEY_MISSING
    return {
        "key": flag.key,
        "value": evaluation.value,
        "reason": evaluation.reason.value,
        "variant": evaluation.variant,
        "metadata": flag.metadata,
    }


def _results(effective: EffectiveSnapshot, targeting_key: str | None) -> bytes:
    memo, results = effective.memo, []
    for flag in effective.flags.values():
        evaluation = flag.evaluate(targeting_key)
        try:
            # The lookup of `_result`, without a call for each flag.
            results.append(memo[flag.key, evaluation.value, evaluation.reason])
        except KeyError:
            results.append(_result(effective, flag, evaluation))
    return b'{"flags":[' + b",".join(results) + b"]}"


def _context(req: Request) -> Context:
    body = _body(req)
    context = body.get("context") if isinstance(body, dict) else None
    if not isinstance(context, dict):
        raise BadContext("INVALID_CONTEXT", "the body must be an object with an object 'context'")
    return Context(_targeting_key(context), _environment(req, context))


def _body(req: Request) -> Any:
    # OFREP has neither 415 nor 413.
    if req.environ.get("CONTENT_TYPE") != JSON and req.mimetype != JSON:
        raise BadContext("PARSE_ERROR", "the body must be sent as Content-Type: application/json")
    try:
        return parse_json(read_body(req), CONTEXT_JSON)
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


def _environment(req: Request, context: dict[str, Any]) -> str:
    if req.query_string and (named := req.args.get("environment")) is not None:
        if ENVIRONMENT.fullmatch(named):
            return named
        raise BadContext("INVALID_CONTEXT", f"the environment {ENVIRONMENT_MESSAGE}")
    # An attribute that names no environment is the application's own: docs/decisions/0016.
    attribute = context.get("environment")
    return attribute if isinstance(attribute, str) and ENVIRONMENT.fullmatch(attribute) else DEFAULT_ENVIRONMENT


def _failure(status: int, body: dict[str, Any], *headers: tuple[str, str]) -> Response:
    return Response(orjson.dumps(cut_details(body)), status, [NO_STORE, *headers], content_type=JSON)


def _without_body(status: int, headers: list[tuple[str, str]]) -> Response:
    response = Response(status=status, headers=headers)
    response.headers.pop("Content-Type")
    return response


def _key() -> dict[str, str]:
    """The flag's key, if the path has one."""
    return {"key": request.view_args["key"]} if request.view_args and request.view_args.get("key") else {}


@blueprint.errorhandler(BadContext)
def answer_bad_context(error: BadContext) -> Response:
    return _failure(BAD_REQUEST, _key() | {"errorCode": error.code, "errorDetails": error.details})


@blueprint.errorhandler(FlagMissing)
def answer_missing(error: FlagMissing) -> Response:
    return _failure(HTTPStatus.NOT_FOUND, _key() | {"errorCode": "FLAG_NOT_FOUND", "errorDetails": error.message})


@blueprint.errorhandler(FlagschedError)
def answer_refusal(error: FlagschedError) -> Response:
    """Refuse a caller; the body is empty unless the service is unavailable, as OFREP has it."""
    log_refusal(error)
    status, headers = status_of(error), headers_of(error).items()
    if isinstance(error, Unavailable):
        return _failure(status, {"errorDetails": error.message}, *headers)
    return _without_body(status, [NO_STORE, *headers])


@blueprint.errorhandler(HTTPException)
@blueprint.errorhandler(HTTPStatus.NOT_FOUND)
@blueprint.errorhandler(HTTPStatus.METHOD_NOT_ALLOWED)
def answer_http_exception(error: HTTPException) -> Response:
    """Refuse a path or a method. By code too: Flask prefers an app's handler for a code to ours for HTTPException."""
    allowed = [(name, value) for name, value in error.get_headers() if name == "Allow"]
    return _failure(error.code or 500, {"errorDetails": error.description or ""}, *allowed)


@blueprint.errorhandler(Exception)
def answer_fault(error: Exception) -> Response:
    log.error("request failed", exc_info=error, **log_ids())
    return _failure(HTTPStatus.INTERNAL_SERVER_ERROR, {"errorDetails": FAULT_MESSAGE})
