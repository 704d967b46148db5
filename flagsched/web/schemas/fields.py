"""Fields that accept a value as it is or refuse it: nothing is coerced."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields

from flagsched.domain.durations import Duration
from flagsched.domain.flags import DEFAULT_ENVIRONMENT, ENVIRONMENT
from flagsched.domain.instants import rfc3339
from flagsched.domain.local_times import zone_named
from flagsched.web.schemas.instants import read_instant, read_json_instant

ERROR_MESSAGES: dict[str, Any] = {"required": "is required", "null": "must not be null"}
PERCENTAGE = {"type": "integer", "minimum": 0, "maximum": 100}
ENVIRONMENT_MESSAGE = (
    "must be 1 to 64 lower-case letters, digits, '.', '_', '-', beginning with a letter or digit, "
    f"like {DEFAULT_ENVIRONMENT!r}"
)
DIGITS = re.compile(r"[0-9]{1,6}")
# PostgreSQL stores no NUL, and UTF-8 has no lone surrogates.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Boolean(fields.Boolean):
    """JSON true or false."""

    default_error_messages = ERROR_MESSAGES

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> bool:
        if isinstance(value, bool):
            return value
        raise ValidationError("must be true or false")


class Percentage(fields.Integer):
    """A JSON integer from 0 to 100."""

    default_error_messages = ERROR_MESSAGES

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata=PERCENTAGE, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100:
            return value
        raise ValidationError("must be an integer from 0 to 100")


class Text(fields.String):
    """A JSON string of at most `max_length` characters that can be stored, and of more than blanks unless `blank`."""

    default_error_messages = ERROR_MESSAGES

    def __init__(self, *, max_length: int, blank: bool = True, **options: Any) -> None:
        super().__init__(metadata={"maxLength": max_length} | ({} if blank else {"minLength": 1}), **options)
        self._max_length, self._blank = max_length, blank

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be a string")
        if len(value) > self._max_length:
            raise ValidationError(f"must have at most {self._max_length} characters")
        if UNSTORABLE.search(value):
            raise ValidationError("must have no NUL and no lone surrogates")
        if not self._blank and not value.strip():
            raise ValidationError("must not be empty")
        return value


class Name(fields.String):
    """A JSON string that matches `pattern` as a whole, else it is refused with `message`."""

    default_error_messages = ERROR_MESSAGES

    def __init__(self, pattern: re.Pattern[str], message: str, *, description: str = "", **options: Any) -> None:
        described = {"description": description} if description else {}
        super().__init__(metadata={"pattern": f"^{pattern.pattern}$"} | described, **options)
        self._pattern, self._message = pattern, message

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> str:
        if isinstance(value, str) and self._pattern.fullmatch(value):
            return value
        raise ValidationError(self._message)


def environment(**options: Any) -> Name:
    """A field for an environment's name."""
    return Name(ENVIRONMENT, ENVIRONMENT_MESSAGE, **options)


class Instant(fields.AwareDateTime):
    """An RFC 3339 date-time with an offset, kept in UTC to the millisecond. Source: RFC 3339, section 5.6."""

    default_error_messages = ERROR_MESSAGES

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> datetime:
        try:
            return read_json_instant(value)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **options: Any) -> str | None:
        return None if value is None else rfc3339(value)


class Items(fields.List[Any]):
    """A JSON array of `least` to `most` items; those of a longer one are not read."""

    default_error_messages = ERROR_MESSAGES

    def __init__(self, item: "fields.Field[Any]", *, least: int, most: int, **options: Any) -> None:
        super().__init__(item, metadata={"minItems": least, "maxItems": most}, **options)
        self._least, self._most = least, most

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValidationError("must be an array")
        if not self._least <= len(value) <= self._most:
            raise ValidationError(f"must have {self._least} to {self._most} items, not {len(value)}")
        return self._load(value, attr, data, **options)

    def _load(self, value: list[Any], attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> list[Any]:
        return super()._deserialize(value, attr, data, **options)


class Length(fields.String):
    """An ISO 8601 duration, of `least` or more if that is set."""

    default_error_messages = ERROR_MESSAGES

    def __init__(
        self, description: str = "an ISO 8601 duration", *, least: Duration | None = None, **options: Any
    ) -> None:
        super().__init__(metadata={"format": "duration", "description": description}, **options)
        self._least = least

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        if not isinstance(value, str):
            raise ValidationError("must be a string like 'PT24H' or 'P1D'")
        try:
            length = Duration.parse(value)
        except ValueError as error:
            raise ValidationError(str(error)) from error
        if self._least is not None and length.exact < self._least.exact:
            raise ValidationError(f"must be '{self._least}' or longer")
        return length


class ZoneName(fields.String):
    """An IANA time zone, of the `tzdata` package and not of the host."""

    default_error_messages = ERROR_MESSAGES

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be a string like 'Europe/Berlin'")
        try:
            zone_named(value)
        except ValueError as error:
            raise ValidationError(str(error)) from error
        return value


class Choice(fields.Enum[Any]):
    """A member of an enumeration of strings, in a request."""

    default_error_messages = ERROR_MESSAGES

    def __init__(self, kind: type[StrEnum], *, description: str = "", **options: Any) -> None:
        described = {"description": description} if description else {}
        super().__init__(kind, by_value=True, metadata={"type": "string"} | described, **options)
        self._kind = kind

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        if isinstance(value, str) and value in {one.value for one in self._kind}:
            return self._kind(value)
        raise ValidationError(f"must be one of: {', '.join(one.value for one in self._kind)}")


class OneOf(fields.Enum[Any]):
    """A member of an enumeration of strings, in a response."""

    def __init__(self, kind: type[StrEnum], **options: Any) -> None:
        super().__init__(kind, by_value=True, metadata={"type": "string"}, **options)


class Id(fields.UUID):
    """An id of ours, in a query."""

    default_error_messages = {"invalid_uuid": "must be an id that flagsched returned"}


class Limit(fields.Integer):
    """The size of a page, in a query."""

    def __init__(self, *, default: int, maximum: int) -> None:
        super().__init__(load_default=default, metadata={"minimum": 1, "maximum": maximum})
        self._maximum = maximum

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> int:
        if DIGITS.fullmatch(value) and 1 <= int(value) <= self._maximum:
            return int(value)
        raise ValidationError(f"must be an integer from 1 to {self._maximum}")


class Cursor(fields.String):
    """The position where a page begins: opaque to callers, a JSON array to us.

    `read` parses the array, or refuses it by ValueError.
    """

    def __init__(self, read: Callable[[list[Any]], Any], **options: Any) -> None:
        super().__init__(**options)
        self._read = read

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        try:
            position = json.loads(base64.b64decode(value, altchars=b"-_", validate=True).decode("utf-8"))
            if isinstance(position, list):
                return self._read(position)
        except (ValueError, TypeError, RecursionError):
            pass
        raise ValidationError("must be a cursor that flagsched returned")


def cursor(*position: str | int) -> str:
    """The cursor for this position."""
    return base64.urlsafe_b64encode(json.dumps(position, separators=(",", ":")).encode()).decode()


def read_id(value: Any) -> UUID:
    """Read an id from a cursor; ValueError if it is none."""
    if not isinstance(value, str):
        raise ValueError(value)  # noqa: TRY004 - of the caller's value, like all that is wrong with a cursor
    return UUID(value)


def read_position(position: list[Any]) -> tuple[datetime, int]:
    """Read an instant and a number from a cursor; ValueError if they are none."""
    instant, number = position
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError(number)
    return read_instant(instant), number
