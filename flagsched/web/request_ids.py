"""The ids of a request: its own, and its trace's."""

import re
from random import getrandbits

from flask import request

ENVIRON_KEY = "flagsched.request_id"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# W3C Trace Context, level 1, section 3.2.2: only versions after 00 may go on after the flags.
TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)


def request_id() -> str:
    """This request's id: the caller's X-Request-Id if it is well formed, else a new one."""
    environ = request.environ
    own: str | None = environ.get(ENVIRON_KEY)
    if own is None:
        header = environ.get("HTTP_X_REQUEST_ID")
        environ[ENVIRON_KEY] = own = header if header and REQUEST_ID.fullmatch(header) else _new_id()
    return own


def log_ids() -> dict[str, str]:
    """The ids for the log lines of this request; the trace's only if the request has a valid W3C traceparent."""
    trace = TRACEPARENT.fullmatch(request.environ.get("HTTP_TRACEPARENT", ""))
    return {"request_id": request_id()} | (trace.groupdict() if trace else {})


def _new_id() -> str:
    # Unique, but no secret: the system's randomness is not needed.
    return f"{getrandbits(128):032x}"
