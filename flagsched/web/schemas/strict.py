"""What all bodies and queries have in common."""

from typing import ClassVar

from marshmallow import Schema

from flagsched.domain.errors import NOT_VALID


class Strict(Schema):
    """Something that is refused with the message `refusal` if it is not well formed."""

    refusal: ClassVar[str] = NOT_VALID


class Body(Strict):
    """A JSON object without unknown fields."""

    error_messages: dict[str, str] = {
        "unknown": "is not a field of this object",
        "type": "must be a JSON object",
    }


class Query(Strict):
    """A query without unknown parameters."""

    error_messages: dict[str, str] = {"unknown": "is not a parameter of this path"}
