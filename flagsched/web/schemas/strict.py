"""What all bodies and queries have in common."""

from marshmallow import Schema


class Body(Schema):
    """A JSON object without unknown fields."""

    error_messages: dict[str, str] = {
        "unknown": "is not a field of this object",
        "type": "must be a JSON object",
    }


class Query(Schema):
    """A query without unknown parameters."""

    error_messages: dict[str, str] = {"unknown": "is not a parameter of this path"}
