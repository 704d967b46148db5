"""The access log: one line for each request, and the request's ids on all its other lines."""

from time import perf_counter

import structlog
from flask import Response, g, request

from flagsched.web.echo import cut
from flagsched.web.request_ids import log_ids

log = structlog.get_logger("flagsched.web")


def begin_request() -> None:
    """Bind the request's ids to every log line until `log_request`."""
    g.flagsched_began = perf_counter()
    g.flagsched_bound = structlog.contextvars.bind_contextvars(**log_ids())


def log_request(response: Response) -> Response:
    """Log the request, and unbind its ids."""
    if "flagsched_bound" not in g:
        begin_request()  # A before_request of the host app has answered before ours.
    log.info(
        "request",
        method=cut(request.method),
        # The rule and not the path, so that a log can be counted by it.
        route=request.url_rule.rule if request.url_rule else None,
        status=response.status_code,
        subject=g.get("flagsched_subject"),
        milliseconds=round((perf_counter() - g.flagsched_began) * 1000, 1),
    )
    structlog.contextvars.reset_contextvars(**g.pop("flagsched_bound"))
    return response
