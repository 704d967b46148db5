"""The headers of every response: its request id, and what a browser may do with it."""

from collections.abc import Mapping
from http import HTTPStatus

from flask import Response

from flagsched.web.request_ids import request_id

# A browser may not guess the type, show the response in a frame, store it, or run anything in it.
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
BODILESS = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


def add_headers(response: Response, policy: Mapping[str, str] = SECURITY_HEADERS) -> Response:
    """Add X-Request-Id, and the headers of `policy` that the response has not set itself."""
    if response.status_code in BODILESS:
        response.headers.pop("Content-Type", None)
    # All at once: each lookup of a header goes through all of them.
    present = {name.lower() for name, _ in response.headers}
    missing = [(name, value) for name, value in policy.items() if name.lower() not in present]
    response.headers.extend([("X-Request-Id", request_id()), *missing])
    return response
