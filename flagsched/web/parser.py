"""webargs' parser for Flask, made strict: what a schema does not expect is refused."""

from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

import marshmallow
from flask import Request
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import UnsupportedMediaType

from flagsched.domain.errors import NOT_VALID, ValidationFailed
from flagsched.web.body import read_json


class StrictParser(FlaskParser):
    """Loads body, query and headers of a request through marshmallow schemas."""

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
        return read_json(req)

    def load_querystring(self, req: Request, schema: marshmallow.Schema) -> Any:
        """The query, without duplicate parameters."""
        del schema
        try:
            unquote_to_bytes(req.query_string).decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValidationFailed({"_schema": ["is not UTF-8"]}, "The query is not valid") from error
        if duplicates := [name for name, values in req.args.lists() if len(values) > 1]:
            raise ValidationFailed({name: ["must appear only once in the query"] for name in duplicates})
        return req.args.to_dict()

    def handle_error(
        self, error: marshmallow.ValidationError, req: Request, schema: marshmallow.Schema, **options: object
    ) -> NoReturn:
        """Refuse the request with the schema's reasons."""
        del req, options
        (details,) = error.normalized_messages().values()
        raise ValidationFailed(details, getattr(schema, "refusal", NOT_VALID)) from error
