"""The console's blueprints: pages for whoever is signed in, and the few that are open to all."""

from http import HTTPStatus
from typing import Any

import structlog
from flask import Response, request
from flask.sansio.scaffold import Scaffold
from werkzeug.exceptions import HTTPException

from flagsched.domain.errors import FlagschedError, Refused, Unauthenticated
from flagsched.web.auth import TOKEN_HOLDERS
from flagsched.web.blueprint import RoleBlueprint, StrictBlueprint
from flagsched.web.console.pages import PREFIX, plain_page, redirect
from flagsched.web.console.session import keep_form_key, refuse_forged_forms, require_session
from flagsched.web.console.texts import advice, reasons
from flagsched.web.errors import FAULT_MESSAGE, HTTP_ERRORS, headers_of, log_refusal, status_of
from flagsched.web.headers import SECURITY_HEADERS
from flagsched.web.request_ids import request_id

log = structlog.get_logger("flagsched.web")
# Nothing from other hosts, no inline script and no inline style.
PAGE_HEADERS = SECURITY_HEADERS | {
    "Content-Security-Policy": "default-src 'self'; form-action 'self'; frame-ancestors 'none'"
}


def answer_errors_with_pages(scaffold: Scaffold) -> None:
    """Make a blueprint answer all errors as pages."""
    scaffold.register_error_handler(FlagschedError, _answer_refusal)
    scaffold.register_error_handler(HTTPException, _answer_http_exception)
    for status in HTTP_ERRORS:
        scaffold.register_error_handler(status, _answer_http_exception)
    scaffold.register_error_handler(Exception, _answer_fault)


class ConsoleBlueprint(RoleBlueprint):
    """Pages for whoever is signed in. `@blueprint.get(rule)` needs a viewer, other methods an admin unless they say."""

    def __init__(self, name: str) -> None:
        authentication = TOKEN_HOLDERS._replace(check=require_session)
        super().__init__(
            name,
            url_prefix=PREFIX,
            authentication=authentication,
            errors=answer_errors_with_pages,
            headers=PAGE_HEADERS,
        )
        self.before_request(refuse_forged_forms)
        self.after_request(keep_form_key)

    def form(self, rule: str, **options: Any) -> Any:
        """A page with a form: GET shows it, POST submits it."""
        return self.route(rule, methods=["GET", "POST"], **options)


class DoorBlueprint(StrictBlueprint):
    """Pages that are open to all."""

    def __init__(self, name: str) -> None:
        super().__init__(name, url_prefix=PREFIX, errors=answer_errors_with_pages, headers=PAGE_HEADERS)
        self.before_request(refuse_forged_forms)
        self.after_request(keep_form_key)


def _answer_refusal(error: FlagschedError) -> Response:
    log_refusal(error)
    if isinstance(error, Unauthenticated):
        return _sign_in_again(error)
    details = reasons(error.details) if isinstance(error, Refused) and error.details else []
    response = _error_page(status_of(error), error.message, details, advice(error))
    response.headers.extend(headers_of(error))
    return response


def _sign_in_again(error: Unauthenticated) -> Response:
    """To the page to sign in, and back from there to the one that was asked for."""
    if "HX-Request" in request.headers:
        return Response(status=HTTPStatus.UNAUTHORIZED, headers={"HX-Refresh": "true"})
    asked = request.full_path.partition(f"{PREFIX}/")[2].rstrip("?") if request.method == "GET" else ""
    return redirect("sign-in", next=asked, why=error.problem)


def _answer_http_exception(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or 500)
    if status is HTTPStatus.NOT_FOUND:
        return _error_page(status, "There is no such page.", [], "Begin at what is coming.")
    return _error_page(status, error.description or status.phrase, [], "")


def _answer_fault(error: Exception) -> Response:
    log.error("request failed", exc_info=error)
    return _error_page(HTTPStatus.INTERNAL_SERVER_ERROR, FAULT_MESSAGE, [], f"Its request id is {request_id()}.")


def _error_page(status: HTTPStatus, message: str, details: list[str], hint: str) -> Response:
    response = plain_page("error.html", status, message=message, details=details, hint=hint)
    if "HX-Request" in request.headers:
        response.headers["HX-Reswap"] = "none"  # What the page shows stays, until the next look succeeds.
    return response
