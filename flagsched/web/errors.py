"""Every error as JSON, translated here and nowhere else."""

import json
import logging
import re
from http import HTTPStatus
from typing import Any

import structlog
from flask import Response
from flask.sansio.scaffold import Scaffold
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from flagsched.domain.errors import (
    AlreadyEnded,
    FlagChanged,
    FlagExists,
    FlagMissing,
    FlagschedError,
    Forbidden,
    KeyInProgress,
    KeyReused,
    OverrideMissing,
    QuotaExceeded,
    RateLimited,
    Refused,
    ScheduleMissing,
    TooManyOverrides,
    Unauthenticated,
    Unavailable,
    ValidationFailed,
)
from flagsched.usecases.idempotency import Replayed
from flagsched.web.echo import cut, cut_details
from flagsched.web.idempotency import replay_response
from flagsched.web.requests import caller_address, finish, identity, request_id

log = structlog.get_logger("flagsched.web")
STATUS: dict[type[FlagschedError], HTTPStatus] = {
    ValidationFailed: HTTPStatus.BAD_REQUEST,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    FlagMissing: HTTPStatus.NOT_FOUND,
    ScheduleMissing: HTTPStatus.NOT_FOUND,
    OverrideMissing: HTTPStatus.NOT_FOUND,
    FlagExists: HTTPStatus.CONFLICT,
    FlagChanged: HTTPStatus.PRECONDITION_FAILED,
    KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    KeyInProgress: HTTPStatus.CONFLICT,
    QuotaExceeded: HTTPStatus.CONFLICT,
    TooManyOverrides: HTTPStatus.CONFLICT,
    AlreadyEnded: HTTPStatus.CONFLICT,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    FlagschedError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
# As they were before Python 3.13 gave them other names.
NAMES = {413: "REQUEST_ENTITY_TOO_LARGE", 414: "REQUEST_URI_TOO_LONG", 422: "UNPROCESSABLE_ENTITY"}
RAISED = (400, 404, 405, 413, 415)
REALM = 'Bearer realm="flagsched"'
# What may not stand in an error_description. Source: RFC 6750, section 3.
UNQUOTABLE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
UNKNOWN_PATH = "flagsched has nothing at this path"
KEPT_HEADERS = {"Allow", "Retry-After", "WWW-Authenticate"}


def answer_errors(scaffold: Scaffold) -> None:
    """Have a blueprint or an app answer all errors as JSON."""
    scaffold.register_error_handler(FlagschedError, answer_refusal)
    scaffold.register_error_handler(Replayed, replay_response)
    scaffold.register_error_handler(HTTPException, answer_http_exception)
    for status in RAISED:
        # By code too: an app's handler for a code comes before a blueprint's for all of them.
        scaffold.register_error_handler(status, answer_http_exception)
    scaffold.register_error_handler(Exception, answer_fault)


def status_of(error: FlagschedError) -> HTTPStatus:
    """The status that says what kind of error it is."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def code_of(status: HTTPStatus) -> str:
    """The error code of what is refused by its status alone: the same under every Python."""
    return NAMES.get(status, status.name)


def answer_refusal(error: FlagschedError) -> Response:
    """The answer to an error of our own."""
    log_refusal(error)
    details = as_json(cut_details(error.details)) if isinstance(error, ValidationFailed) else None
    return _answer(status_of(error), error.code, error.message, details, headers_of(error))


def log_refusal(error: FlagschedError) -> None:
    """One line for each refusal: what, why, and from which address it was asked."""
    level = logging.INFO if isinstance(error, Refused) else logging.WARNING
    cause = getattr(error, "cause", cut(error.message))
    log.log(level, "request refused", error=error.code, cause=cause, address=caller_address(), **identity())


def headers_of(error: FlagschedError) -> dict[str, str]:
    """What an answer to this error says in its head. Source: RFC 6750, section 3."""
    match error:
        case RateLimited() | KeyInProgress() | Unavailable():
            return {"Retry-After": str(error.retry_after)}
        case Unauthenticated(problem=None):
            return {"WWW-Authenticate": REALM}
        case Unauthenticated(problem=str(problem)):
            return {"WWW-Authenticate": _challenge("invalid_token", problem)}
        case Forbidden():
            return {"WWW-Authenticate": _challenge("insufficient_scope", error.message)}
    return {}


def _challenge(code: str, description: str) -> str:
    return f'{REALM}, error="{code}", error_description="{UNQUOTABLE.sub("?", description)}"'


def answer_http_exception(error: HTTPException) -> Response:
    """The answer to what Flask and Werkzeug refuse: routes, methods, media types, sizes."""
    status = HTTPStatus(error.code or 500)
    headers = {name: value for name, value in error.get_headers() if name in KEPT_HEADERS}
    if "Allow" in headers:
        # Werkzeug has them as a set, in another order in each process.
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    description = UNKNOWN_PATH if error.description == NotFound.description else error.description
    return _answer(status, code_of(status), description or status.phrase, None, headers)


def answer_unrouted(error: HTTPException) -> Response:
    """The whole answer to a request that no route matches, where no blueprint is there to finish it."""
    return finish(answer_http_exception(error if isinstance(error, (NotFound, MethodNotAllowed)) else NotFound()))


def answer_fault(error: Exception) -> Response:
    """The answer to a fault of ours: nothing of it is told but the request id to ask for."""
    log.error("request failed", exc_info=error)
    return _answer(HTTPStatus.INTERNAL_SERVER_ERROR, FlagschedError.code, "flagsched failed; see its log", None, {})


def as_json(details: Any) -> Any:
    """A tree of reasons with string keys; what is wrong with a whole object is a list in its place."""
    if not isinstance(details, dict):
        return details
    if details.keys() == {"_schema"}:
        return details["_schema"]
    return {str(name): as_json(below) for name, below in details.items()}


def _answer(status: HTTPStatus, code: str, message: str, details: Any, headers: dict[str, str]) -> Response:
    body = {"error": code, "message": cut(message), "details": details, "requestId": request_id()}
    return Response(json.dumps(body) + "\n", status, headers, mimetype="application/json")
