"""Reading requests strictly: JSON without doubt about what it says, and nothing that is not expected."""

import json
import math
from collections import Counter
from io import BytesIO
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

import marshmallow
from flask import Request
from gunicorn.http.errors import ParseException
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge, UnsupportedMediaType

from flagsched.domain.errors import NOT_VALID, ValidationFailed

MAX_BODY = 256 * 1024
LONG = len(str(MAX_BODY))
NOT_AS_SAID = "The body is not sent as it says"
TOO_LARGE = f"the body must have at most {MAX_BODY} bytes"
MAX_NAMES = 100
MAX_DIGITS = 4300


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
    except RequestEntityTooLarge as error:
        # Werkzeug finds it by the Content-Length, and does not name the limit.
        raise RequestEntityTooLarge(TOO_LARGE) from error
    if len(body) > MAX_BODY:
        raise RequestEntityTooLarge(TOO_LARGE)
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
        req.max_content_length = MAX_BODY + 1
        body = req.get_data()
        said = req.content_length or 0
    if len(body) < said:
        raise EOFError
    return body


class OverLimit(ValueError):
    """Says which limit a body breaks that is JSON, but too deep, or with too many names or digits."""


def read_json(body: bytes) -> Any:
    """Parse a body as UTF-8 JSON without duplicate names or values that JSON has not; ValidationFailed."""
    try:
        return parse_json(body, JSON)
    except OverLimit as error:
        raise ValidationFailed({"_schema": [str(error)]}, "The body is over a limit") from error
    except ValueError as error:
        raise ValidationFailed({"_schema": [f"is not JSON: {error}"[:300]]}, "The body is not valid JSON") from error


def parse_json(body: bytes, decoder: json.JSONDecoder) -> Any:
    """Parse a body as UTF-8 JSON by a decoder that `strict_decoder` made; ValueError, OverLimit among them."""
    try:
        return decoder.decode(_text(body))
    except RecursionError as error:
        raise OverLimit("is nested too deep") from error


def strict_decoder(most_names: int) -> json.JSONDecoder:
    """A decoder that takes no name twice, no object of more than so many names, and no value that JSON has not."""

    def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(pairs) > most_names:
            raise OverLimit(f"has an object with more than {most_names} names")
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError(f"the name {_first_twice(pairs)[:100]!r} stands twice in one object")
        return found

    return json.JSONDecoder(
        object_pairs_hook=read_object, parse_constant=_constant, parse_float=_float, parse_int=_integer
    )


def _text(body: bytes) -> str:
    text = body.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("it begins with a byte order mark")
    return text


def _first_twice(pairs: list[tuple[str, Any]]) -> str:
    return next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise OverLimit(f"has a number that is too large: {text[:40]}")
    return number


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise OverLimit(f"has a number of more than {MAX_DIGITS} digits")
    return int(text)


JSON = strict_decoder(MAX_NAMES)
