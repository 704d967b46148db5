"""What all bodies and queries have in common."""

from typing import Any, ClassVar

from marshmallow import RAISE, Schema, fields

from flagsched.domain.errors import NOT_VALID


class Strict(Schema):
    """Something that is refused with the message `refusal` if it is not well formed."""

    refusal: ClassVar[str] = NOT_VALID

    class Meta:
        unknown = RAISE


class Body(Strict):
    """A JSON object without unknown fields."""

    error_messages: dict[str, str] = {
        "unknown": "is not a field of this object",
        "type": "must be a JSON object",
    }


class Query(Strict):
    """A query without unknown parameters."""

    error_messages: dict[str, str] = {"unknown": "is not a parameter of this path"}


class View(Schema):
    """An answer: it has all its fields, and no others."""

    class Meta:
        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: "fields.Field[Any]") -> None:
        """Say so in the document."""
        field_obj.required = True
