"""Reading requests strictly: JSON without doubt about what it says, and nothing that is not expected."""

import json
import math
from typing import Any, NoReturn

import marshmallow
from flask import Request
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import UnsupportedMediaType

from flagsched.domain.errors import NOT_VALID, ValidationFailed


class StrictParser(FlaskParser):
    """Loads the body and the query of a request through marshmallow schemas."""

    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION = {"json": marshmallow.RAISE, "query": marshmallow.RAISE}

    def load_json(self, req: Request, schema: marshmallow.Schema) -> Any:
        """The body as JSON; 415, 413 and 400 in this order."""
        del schema
        if req.mimetype != "application/json":
            raise UnsupportedMediaType("the body must be sent as Content-Type: application/json")
        return read_json(req.get_data(cache=False))

    def load_querystring(self, req: Request, schema: marshmallow.Schema) -> Any:
        """The query, in which nothing may stand twice."""
        del schema
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


def read_json(body: bytes) -> Any:
    """Parse a body as UTF-8 JSON without duplicate names or values that JSON has not; ValidationFailed."""
    try:
        text = body.decode("utf-8")
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
    except RecursionError as error:
        raise ValidationFailed({"_schema": ["is nested too deep"]}, "The body is not valid JSON") from error
    except ValueError as error:
        raise ValidationFailed({"_schema": [f"is not JSON: {error}"[:300]]}, "The body is not valid JSON") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:100]!r} stands twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number
