"""Reading requests strictly: JSON without doubt about what it says, and nothing that is not expected."""

import json
import math
from io import BytesIO
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

import marshmallow
from flask import Request
from gunicorn.http.errors import ParseException
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge, UnsupportedMediaType

from flagsched.domain.errors import NOT_VALID, ValidationFailed

LARGEST_BODY = 256 * 1024
LONG = len(str(LARGEST_BODY))
NOT_AS_SAID = "The body is not sent as it says"
MOST_NAMES = 100


class StrictParser(FlaskParser):
    """Loads the body and the query of a request through marshmallow schemas."""

    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION = {
        "json": marshmallow.RAISE,
        "query": marshmallow.RAISE,
        "headers": marshmallow.EXCLUDE,
    }

    def load_json(self, req: Request, schema: marshmallow.Schema) -> Any:
        """The body as JSON; 415, 413 and 400 in this order."""
        del schema
        if req.mimetype != "application/json":
            raise UnsupportedMediaType("the body must be sent as Content-Type: application/json")
        if req.mimetype_params.get("charset", "utf-8").lower() not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType("the body must be sent as UTF-8")
        if req.headers.get("Content-Encoding", "identity") != "identity":
            raise UnsupportedMediaType("the body must be sent without a Content-Encoding")
        return read_json(read_body(req))

    def load_querystring(self, req: Request, schema: marshmallow.Schema) -> Any:
        """The query, in which nothing may stand twice."""
        del schema
        try:
            unquote_to_bytes(req.query_string).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValidationFailed({"_schema": ["is not UTF-8"]}, "The query is not valid") from error
        if twice := [name for name, values in req.args.lists() if len(values) > 1]:
            raise ValidationFailed({name: ["must stand only once in the query"] for name in twice})
        return req.args.to_dict()

    def handle_error(
        self, error: marshmallow.ValidationError, req: Request, schema: marshmallow.Schema, **options: object
    ) -> NoReturn:
        """Refuse the request with the reasons that the schema gives."""
        del req, options
        (details,) = error.normalized_messages().values()
        raise ValidationFailed(details, getattr(schema, "refusal", NOT_VALID)) from error


def read_body(req: Request) -> bytes:
    """The body as it was sent, chunked or not; 413 over 256 KiB, ValidationFailed if it is not sent as it says."""
    try:
        body = _read(req)
    except (ParseException, ClientDisconnected, EOFError, OSError) as error:
        # What gunicorn finds in chunks while it reads them, and the end of its patience.
        raise ValidationFailed({"_schema": ["breaks off, or its chunks are framed wrongly"]}, NOT_AS_SAID) from error
    if len(body) > LARGEST_BODY:
        raise RequestEntityTooLarge(f"the body must have at most {LARGEST_BODY} bytes")
    return body


def _read(req: Request) -> bytes:
    length = req.environ.get("CONTENT_LENGTH", "")
    framed_once = "HTTP_TRANSFER_ENCODING" not in req.environ
    if framed_once and length.isdecimal() and len(length) < LONG and "stream" not in vars(req):
        # A small body that nobody has read, as nearly all are, needs none of the library's care for the others.
        body: bytes = req.environ["wsgi.input"].read(int(length))
        req.environ["wsgi.input"] = BytesIO(body)
        said = int(length)
    else:
        # One more, since a chunked body is cut off at the limit without a word.
        req.max_content_length = LARGEST_BODY + 1
        body = req.get_data()
        said = req.content_length or 0
    if len(body) < said:
        raise EOFError
    return body


def read_json(body: bytes) -> Any:
    """Parse a body as UTF-8 JSON without duplicate names or values that JSON has not; ValidationFailed."""
    try:
        return JSON.decode(_text(body))
    except RecursionError as error:
        raise ValidationFailed({"_schema": ["is nested too deep"]}, "The body is not valid JSON") from error
    except ValueError as error:
        raise ValidationFailed({"_schema": [f"is not JSON: {error}"[:300]]}, "The body is not valid JSON") from error


def _text(body: bytes) -> str:
    text = body.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("it begins with a byte order mark")
    return text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MOST_NAMES:
        raise ValueError(f"an object has more than {MOST_NAMES} names")
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {name[:100]!r} stands twice in one object")
        found[name] = value
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


JSON = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
