"""The OpenAPI document apart from routes and schemas: its introduction, errors, headers and path parameters."""

from http import HTTPStatus
from inspect import getdoc
from typing import Any

from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask_smorest import Api
from flask_smorest.spec.plugins import FlaskPlugin

from flagsched.domain.flags import ENVIRONMENT, FLAG_KEY
from flagsched.domain.plans import PLAN_NAME
from flagsched.web.schemas.errors import ErrorView
from flagsched.web.schemas.headers import DESCRIBED, response_headers

DESCRIPTION = """\
flagsched changes feature flags on time: an admin plans one change or up to fifty at once, and each takes effect at its
instant, in order, exactly once.

- **Admin routes** (`/api/admin`) need a bearer token whose claim `role` (a setting) is a role, or a list that has one:
  `viewer` reads and previews, `operator` also holds and releases, `admin` does everything. `x-required-role` is the
  least role that an operation needs.
- **Applications** ask `/api/config`, or OpenFeature's protocol (OFREP) under `/ofrep`, which has a document of its own.
- **Instants** are RFC 3339 date-times with an offset, kept to the millisecond. Answers are in UTC.
- **Input is strict**: unknown fields and parameters are refused, and no value is converted to another type.
- **Lists** are read page by page: `nextCursor` is the `cursor` of the next page, and null on the last.
- **Every POST that creates something** takes an `Idempotency-Key`, and may then be sent again without harm.
- **Errors** have a stable code in `error`, a message for a person, and in `details` what is wrong where.
"""
INFO = {
    "summary": "Feature-flag changes planned ahead: on time, in order, exactly once, and all of it recorded.",
    "description": DESCRIPTION,
    "license": {"name": "MIT", "identifier": "MIT"},
}
# Relative to the document's own address, so that it holds behind a proxy's prefix too.
SERVERS = [{"url": ".", "description": "The server that this document comes from"}]
API_KEY = {
    "type": "apiKey",
    "in": "header",
    "name": "X-API-Key",
    "description": "One of `FLAGSCHED_EVALUATION_KEYS`, where that is what applications must show.",
}
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A JSON Web Token with a role: `viewer` reads and previews, `operator` also holds and releases, "
    "`admin` does everything. `flagsched token` makes one.",
}
PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "flag_key": {
        "description": "The key of the flag.",
        "example": "new-checkout",
        "schema": {"type": "string", "pattern": f"^{FLAG_KEY.pattern}$"},
    },
    "schedule_id": {"description": "The id of the schedule.", "example": "0b9f4c1e-6d1c-4f6e-9a3b-2f1f0f6c8a11"},
    "plan_id": {"description": "The id of the plan.", "example": "5f0c8a52-6a0e-4a2b-8d53-9c1f0e7b2d10"},
    "hold_id": {"description": "The id of the hold.", "example": "a3d2b0c4-7f8e-4c1d-9b6a-0e5f4d3c2b1a"},
    "environment": {
        "description": "The environment.",
        "example": "production",
        "schema": {"type": "string", "pattern": f"^{ENVIRONMENT.pattern}$"},
    },
    "plan_name": {
        "description": "The name of the plan.",
        "example": "checkout-launch",
        "schema": {"type": "string", "pattern": f"^{PLAN_NAME.pattern}$"},
    },
    "user_id": {
        "description": "The user's id, URL-encoded.",
        "example": "ada",
        "schema": {"type": "string", "minLength": 1, "maxLength": 256},
    },
}
ERRORS = {
    HTTPStatus.BAD_REQUEST: "The request is not well formed, or plans for the past or too far ahead: `details` has it.",
    HTTPStatus.UNAUTHORIZED: "No valid token, or no valid API key where one is asked for: `UNAUTHORIZED`.",
    HTTPStatus.FORBIDDEN: "A valid token without the role in `x-required-role`, or one above it: `FORBIDDEN`.",
    HTTPStatus.NOT_FOUND: "`FLAG_NOT_FOUND`, `SCHEDULE_NOT_FOUND`, `OVERRIDE_NOT_FOUND`; `NOT_FOUND` for other paths.",
    HTTPStatus.CONFLICT: "`FLAG_EXISTS`, `QUOTA_EXCEEDED`; `ALREADY_APPLIED`, `ALREADY_CANCELLED`, `ALREADY_FAILED`, "
    "`ALREADY_SKIPPED` "
    "for a schedule that has ended; `IDEMPOTENCY_IN_PROGRESS` while the first request with this key is running.",
    HTTPStatus.PRECONDITION_FAILED: "The flag is not in the version that If-Match names: `PRECONDITION_FAILED`.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body has more than 256 KiB: `REQUEST_ENTITY_TOO_LARGE`.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not plain `application/json`: `UNSUPPORTED_MEDIA_TYPE`.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "The Idempotency-Key was used for another request: `IDEMPOTENCY_KEY_REUSED`.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many writes of one admin, or failed sign-ins from one address: `RATE_LIMITED`.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Nothing was stored, try again: `FLAG_BUSY`, `DATABASE_UNAVAILABLE`, "
    "`DATABASE_REFUSED`, `DISK_FULL`, `ISSUER_UNAVAILABLE`, `SCHEMA_OUTDATED`.",
}
ERROR_HEADERS: dict[HTTPStatus, dict[str, Any]] = {
    HTTPStatus.UNAUTHORIZED: response_headers("WWW-Authenticate"),
    HTTPStatus.FORBIDDEN: response_headers("WWW-Authenticate"),
    HTTPStatus.CONFLICT: {
        "Retry-After": DESCRIBED["Retry-After"]
        | {"description": "Only with `IDEMPOTENCY_IN_PROGRESS`: when to ask again, in seconds.", "required": False}
    },
    HTTPStatus.TOO_MANY_REQUESTS: response_headers("Retry-After"),
    HTTPStatus.SERVICE_UNAVAILABLE: response_headers("Retry-After"),
}


class Converter(OpenAPIConverter):
    """apispec's converter of schemas, with their docstrings and what they have in `described`."""

    def schema2jsonschema(self, schema: Any) -> dict[str, Any]:
        described = getattr(schema, "described", {})
        return {**super().schema2jsonschema(schema), "description": getdoc(type(schema)), **described}


class Schemas(MarshmallowPlugin):
    """apispec's plugin for marshmallow, with our converter."""

    Converter = Converter


class Paths(FlaskPlugin):
    """flask-smorest's plugin for routes, with a description of each path parameter."""

    def rule_to_params(self, rule: Any) -> list[dict[str, Any]]:
        return [parameter | PATH_PARAMETERS[parameter["name"]] for parameter in super().rule_to_params(rule)]


class Contract(Api):
    """flask-smorest's document with our errors and headers, and without its error handlers."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Any) -> None:
        components = {"securitySchemes": {"bearer": BEARER, "apiKey": API_KEY}}
        plugins = {"marshmallow_plugin": Schemas(), "flask_plugin": Paths()}
        super().__init__(app, spec_kwargs={"info": INFO, "servers": SERVERS, "components": components, **plugins})

    def _register_error_handlers(self) -> None:
        """They stand in web/errors.py."""

    def _register_etag_headers(self) -> None:
        # Not lazy: apispec does not see a reference from a response that is lazy itself.
        for name, header in DESCRIBED.items():
            self.spec.components.header(name, header)

    def _register_pagination_header(self) -> None:
        """None: the cursor of the next page is in the body."""

    def _register_responses(self) -> None:
        for status, description in ERRORS.items():
            described = {
                "description": description,
                "headers": response_headers("X-Request-Id") | ERROR_HEADERS.get(status, {}),
                "content": {"application/json": {"schema": ErrorView}},
            }
            self.spec.components.response(status.name, described, lazy=True)
