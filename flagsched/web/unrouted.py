"""Requests that match no route of ours."""

from flask import Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from flagsched.web.access_log import begin_request, log_request
from flagsched.web.errors import answer_http_exception
from flagsched.web.headers import add_headers


def refuse_extra_slashes() -> None:
    """NotFound for `//api/…`: it is another path than `/api/…`, though Werkzeug matches both."""
    if request.environ["PATH_INFO"].startswith("//"):
        raise NotFound


def begin_unrouted() -> None:
    """Begin a request that no blueprint begins."""
    if request.blueprint is None:
        begin_request()
        refuse_extra_slashes()


def finish_unrouted(response: Response) -> Response:
    """Finish the response to a request that no blueprint finishes."""
    return log_request(add_headers(response)) if request.blueprint is None else response


def answer_unrouted(error: HTTPException) -> Response:
    """The finished response to a request under our prefixes in a host app."""
    # Not a redirect: its body is HTML.
    refusal = error if isinstance(error, (NotFound, MethodNotAllowed)) else NotFound()
    return log_request(add_headers(answer_http_exception(refusal)))
