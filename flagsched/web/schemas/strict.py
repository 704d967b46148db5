"""What all bodies and queries have in common."""

from operator import attrgetter
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

    described: ClassVar[dict[str, Any]] = {}
    """What the document says of it beside its fields, in the words of JSON Schema."""

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

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._told = [
            (field.data_key or name, name, attrgetter(field.attribute or name), field)
            for name, field in self.dump_fields.items()
        ]

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """What marshmallow makes of it, in a fifth of the time: no field of ours is left out, computed or renamed."""
        if self.many if many is None else many:
            return [self._tell(one) for one in obj]
        return self._tell(obj)

    def _tell(self, obj: Any) -> dict[str, Any]:
        if isinstance(obj, dict):
            return {key: field._serialize(obj[name], name, obj) for key, name, _, field in self._told}
        return {key: field._serialize(get(obj), name, obj) for key, name, get, field in self._told}

    def on_bind_field(self, field_name: str, field_obj: "fields.Field[Any]") -> None:
        """Say so in the document."""
        field_obj.required = True
