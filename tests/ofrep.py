"""What OFREP 0.3 lets a server answer. Source: open-feature/protocol, service/openapi.yaml, version 0.3.0."""

import json
from typing import Any

from jsonschema import Draft202012Validator

METADATA = {"type": "object", "additionalProperties": {"type": ["boolean", "string", "number"]}}
SUCCESS = {
    "type": "object",
    "required": ["key", "reason"],
    "properties": {
        "key": {"type": "string"},
        "reason": {"enum": ["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN"]},
        "variant": {"type": "string"},
        "value": {"type": ["boolean", "string", "number", "object"]},
        "metadata": METADATA,
    },
    "not": {"required": ["errorCode"]},
}
FAILURE: dict[str, Any] = {
    "type": "object",
    "required": ["key", "errorCode"],
    "properties": {
        "key": {"type": "string"},
        "errorCode": {"enum": ["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL"]},
        "errorDetails": {"type": "string"},
        "metadata": METADATA,
    },
}
NOT_FOUND = {
    "type": "object",
    "required": ["key", "errorCode"],
    "properties": {
        "key": {"type": "string"},
        "errorCode": {"const": "FLAG_NOT_FOUND"},
        "errorDetails": {"type": "string"},
    },
}
ALL = {
    "type": "object",
    "required": ["flags"],
    "properties": {"flags": {"type": "array", "items": {"anyOf": [SUCCESS, FAILURE]}}, "metadata": METADATA},
}
ALL_FAILURE: dict[str, Any] = {
    "type": "object",
    "required": ["errorCode"],
    "properties": {"errorCode": {"type": "string"}, "errorDetails": {"type": "string"}},
}
GENERAL = {"type": "object", "required": ["errorDetails"], "properties": {"errorDetails": {"type": "string"}}}
# Another method and the database's absence have no schema there: they are told like the error nearest to them.
ONE_FLAG = {200: SUCCESS, 400: FAILURE, 404: NOT_FOUND, 405: GENERAL, 503: GENERAL}
ALL_FLAGS = {200: ALL, 400: ALL_FAILURE, 405: GENERAL, 503: GENERAL}
SCHEMAS: dict[str, dict[int, dict[str, Any]]] = {"flags/{key}": ONE_FLAG, "flags": ALL_FLAGS, "": {404: GENERAL}}
BODILESS = {204, 304, 401, 403, 429}


def breach(path: str, status: int, body: bytes) -> str | None:
    """What is wrong with an answer, if something is."""
    if status in BODILESS:
        return "a body, and there should be none" if body else None
    schemas = next((schemas for end, schemas in SCHEMAS.items() if path.endswith(end)), {})
    if status not in schemas:
        return "OFREP has no such status"
    errors = Draft202012Validator(schemas[status]).iter_errors(json.loads(body))
    return "; ".join(f"{error.json_path}: {error.message}" for error in errors)[:500] or None
