"""The body of a request, as bytes and as JSON."""

from io import BytesIO
from typing import Any

from flask import Request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from flagsched.domain.errors import ValidationFailed
from flagsched.web.strict_json import OverLimit, parse_json, strict_decoder

MAX_BODY = 256 * 1024
MAX_LENGTH_DIGITS = len(str(MAX_BODY))
MAX_NAMES = 100
TOO_LARGE = f"the body must have at most {MAX_BODY} bytes"
DECODER = strict_decoder(MAX_NAMES)


def read_json(req: Request) -> Any:
    """The body as JSON; ValidationFailed, or 413."""
    try:
        return parse_json(read_body(req), DECODER)
    except OverLimit as error:
        raise ValidationFailed({"_schema": [str(error)]}, "The body is over a limit") from error
    except ValueError as error:
        raise ValidationFailed({"_schema": [f"is not JSON: {error}"[:300]]}, "The body is not valid JSON") from error


def read_body(req: Request) -> bytes:
    """The body as it was sent, chunked or not; 413 over 256 KiB, ValidationFailed if it is incomplete."""
    try:
        body = _read(req)
    except (ParseException, ClientDisconnected, EOFError, OSError) as error:
        # gunicorn reads chunks, and waits for the rest, only now.
        raise ValidationFailed(
            {"_schema": ["breaks off, or its chunks are malformed"]}, "The body is incomplete"
        ) from error
    except RequestEntityTooLarge as error:
        # Werkzeug finds it by the Content-Length, and does not name the limit.
        raise RequestEntityTooLarge(TOO_LARGE) from error
    if len(body) > MAX_BODY:
        raise RequestEntityTooLarge(TOO_LARGE)
    return body


def _read(req: Request) -> bytes:
    length = req.environ.get("CONTENT_LENGTH", "")
    chunked = "HTTP_TRANSFER_ENCODING" in req.environ
    if not chunked and length.isdecimal() and len(length) < MAX_LENGTH_DIGITS and "stream" not in vars(req):
        # The fast path, for a small body that nobody has read yet: nearly all are.
        body: bytes = req.environ["wsgi.input"].read(int(length))
        req.environ["wsgi.input"] = BytesIO(body)
        announced = int(length)
    else:
        # One byte more: Werkzeug cuts a chunked body off at the limit without an error.
        req.max_content_length = MAX_BODY + 1
        body = req.get_data()
        announced = req.content_length or 0
    if len(body) < announced:
        raise EOFError
    return body
