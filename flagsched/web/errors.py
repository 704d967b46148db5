"""Errors as JSON responses. OFREP has a format of its own."""

import json
import logging
import re
from http import HTTPStatus
from typing import Any

import structlog
from flask import Response
from flask.sansio.scaffold import Scaffold
from werkzeug.exceptions import HTTPException, NotFound

from flagsched.domain.errors import (
    AlreadyEnded,
    ChangedSince,
    EntryMissing,
    EnvironmentMissing,
    FlagChanged,
    FlagExists,
    FlagMissing,
    FlagschedError,
    Forbidden,
    Frozen,
    HoldMissing,
    HoldOver,
    KeyInProgress,
    KeyReused,
    NothingToUndo,
    OverrideMissing,
    PlanChanged,
    PlanEnded,
    PlanExists,
    PlanMissing,
    PlanTooLong,
    QuotaExceeded,
    RateLimited,
    Refused,
    ScheduleMissing,
    TooManyHolds,
    TooManyOverrides,
    Unauthenticated,
    Unavailable,
    ValidationFailed,
)
from flagsched.usecases.idempotency import Replayed
from flagsched.web.caller import caller_address
from flagsched.web.echo import cut, cut_details
from flagsched.web.headers import SECURITY_HEADERS
from flagsched.web.idempotency import replay_response
from flagsched.web.request_ids import log_ids, request_id

log = structlog.get_logger("flagsched.web")
STATUS: dict[type[FlagschedError], HTTPStatus] = {
    ValidationFailed: HTTPStatus.BAD_REQUEST,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    RateLimited: HTTPStatus.TOO_MANY_REQUESTS,
    FlagMissing: HTTPStatus.NOT_FOUND,
    ScheduleMissing: HTTPStatus.NOT_FOUND,
    OverrideMissing: HTTPStatus.NOT_FOUND,
    PlanMissing: HTTPStatus.NOT_FOUND,
    HoldMissing: HTTPStatus.NOT_FOUND,
    EnvironmentMissing: HTTPStatus.NOT_FOUND,
    FlagExists: HTTPStatus.CONFLICT,
    PlanExists: HTTPStatus.CONFLICT,
    PlanEnded: HTTPStatus.CONFLICT,
    HoldOver: HTTPStatus.CONFLICT,
    Frozen: HTTPStatus.CONFLICT,
    EntryMissing: HTTPStatus.NOT_FOUND,
    NothingToUndo: HTTPStatus.CONFLICT,
    ChangedSince: HTTPStatus.CONFLICT,
    PlanChanged: HTTPStatus.PRECONDITION_FAILED,
    FlagChanged: HTTPStatus.PRECONDITION_FAILED,
    KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    KeyInProgress: HTTPStatus.CONFLICT,
    QuotaExceeded: HTTPStatus.CONFLICT,
    PlanTooLong: HTTPStatus.CONFLICT,
    TooManyOverrides: HTTPStatus.CONFLICT,
    TooManyHolds: HTTPStatus.CONFLICT,
    AlreadyEnded: HTTPStatus.CONFLICT,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    FlagschedError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
# The names that these had before Python 3.13.
NAMES = {413: "REQUEST_ENTITY_TOO_LARGE", 414: "REQUEST_URI_TOO_LONG", 422: "UNPROCESSABLE_ENTITY"}
HTTP_ERRORS = (400, 404, 405, 413, 415)
REALM = 'Bearer realm="flagsched"'
# Characters that an error_description may not have. Source: RFC 6750, section 3.
UNQUOTABLE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
UNKNOWN_PATH = "flagsched has nothing at this path"
FAULT_MESSAGE = "flagsched failed; see its log"
COPIED_HEADERS = {"Allow", "Retry-After", "WWW-Authenticate"}


def answer_errors(scaffold: Scaffold) -> None:
    """Make a blueprint or an app answer all errors as JSON."""
    scaffold.register_error_handler(FlagschedError, answer_refusal)
    scaffold.register_error_handler(Replayed, replay_response)
    scaffold.register_error_handler(HTTPException, answer_http_exception)
    for status in HTTP_ERRORS:
        # By code too: Flask prefers an app's handler for a code to a blueprint's for HTTPException.
        scaffold.register_error_handler(status, answer_http_exception)
    scaffold.register_error_handler(Exception, answer_fault)


def status_of(error: FlagschedError) -> HTTPStatus:
    """The HTTP status of an error."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def code_of(status: HTTPStatus) -> str:
    """The error code of a status that no error of ours stands for; the same under every Python."""
    return NAMES.get(status, status.name)


def answer_refusal(error: FlagschedError) -> Response:
    """The response to an error of ours."""
    log_refusal(error)
    details = as_json(cut_details(error.details)) if isinstance(error, Refused) and error.details else None
    return _response(status_of(error), error.code, error.message, details, headers_of(error))


def log_refusal(error: FlagschedError) -> None:
    """Log a refusal: its code, its cause and the caller's address."""
    level = logging.INFO if isinstance(error, Refused) else logging.WARNING
    cause = getattr(error, "cause", cut(error.message))
    log.log(level, "request refused", error=error.code, cause=cause, address=caller_address(), **log_ids())


def headers_of(error: FlagschedError) -> dict[str, str]:
    """The headers of the response to this error. Source: RFC 6750, section 3."""
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
    """The response to what Flask and Werkzeug refuse: routes, methods, media types, sizes."""
    status = HTTPStatus(error.code or 500)
    headers = {name: value for name, value in error.get_headers() if name in COPIED_HEADERS}
    if "Allow" in headers:
        # Werkzeug keeps them in a set, whose order differs between processes.
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
    description = UNKNOWN_PATH if error.description == NotFound.description else error.description
    return _response(status, code_of(status), description or status.phrase, None, headers)


def answer_fault(error: Exception) -> Response:
    """The response to a fault of ours: the log has all about it, the caller gets the request id alone."""
    log.error("request failed", exc_info=error)
    return _response(HTTPStatus.INTERNAL_SERVER_ERROR, FlagschedError.code, FAULT_MESSAGE, None, {})


def as_json(details: Any) -> Any:
    """A tree of reasons with string keys; the reasons for a whole object are a list in its place."""
    if not isinstance(details, dict):
        return details
    if details.keys() == {"_schema"}:
        return details["_schema"]
    return {str(name): as_json(below) for name, below in details.items()}


def _response(status: HTTPStatus, code: str, message: str, details: Any, headers: dict[str, str]) -> Response:
    body = error_body(code, cut(message), details, request_id())
    # Also where the blueprint's policy allows its pages more.
    return Response(body + "\n", status, SECURITY_HEADERS | headers, mimetype="application/json")


def error_body(code: str, message: str, details: Any, request_id: str) -> str:
    """The JSON of an error."""
    return json.dumps({"error": code, "message": message, "details": details, "requestId": request_id})
