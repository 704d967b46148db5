"""Fields that take a value as it is or refuse it: nothing is coerced."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from marshmallow import ValidationError, fields

from flagsched.domain.flags import DEFAULT_ENVIRONMENT, ENVIRONMENT
from flagsched.domain.instants import rfc3339
from flagsched.web.schemas.instants import read_instant, read_json_instant

EXPECTED: dict[str, Any] = {"required": "is required", "null": "must not be null"}
PERCENTAGE = {"type": "integer", "minimum": 0, "maximum": 100}
DIGITS = re.compile(r"[0-9]{1,6}")
# XML and terminals aside, PostgreSQL stores no NUL, and UTF-8 has no lone surrogates.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Boolean(fields.Boolean):
    """JSON true or false."""

    default_error_messages = EXPECTED

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> bool:
        if isinstance(value, bool):
            return value
        raise ValidationError("must be true or false")


class Percentage(fields.Integer):
    """A JSON integer from 0 to 100."""

    default_error_messages = EXPECTED

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata=PERCENTAGE, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100:
            return value
        raise ValidationError("must be an integer from 0 to 100")


class Text(fields.String):
    """A JSON string of up to `longest` characters, of those that can be stored."""

    default_error_messages = EXPECTED

    def __init__(self, *, longest: int, **options: Any) -> None:
        super().__init__(metadata={"maxLength": longest}, **options)
        self._longest = longest

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be a string")
        if len(value) > self._longest:
            raise ValidationError(f"must have at most {self._longest} characters")
        if UNSTORABLE.search(value):
            raise ValidationError("must have no NUL and no lone surrogates")
        return value


class Name(fields.String):
    """A JSON string that matches `pattern` as a whole; `expected` says so in words."""

    default_error_messages = EXPECTED

    def __init__(self, pattern: re.Pattern[str], expected: str, *, description: str = "", **options: Any) -> None:
        described = {"description": description} if description else {}
        super().__init__(metadata={"pattern": f"^{pattern.pattern}$"} | described, **options)
        self._pattern, self._expected = pattern, expected

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> str:
        if isinstance(value, str) and self._pattern.fullmatch(value):
            return value
        raise ValidationError(self._expected)


def environment(**options: Any) -> Name:
    """An environment's name."""
    expected = (
        "must be 1 to 64 lower-case letters, digits, '.', '_', '-', beginning with a letter or digit, "
        f"like {DEFAULT_ENVIRONMENT!r}"
    )
    return Name(ENVIRONMENT, expected, **options)


class Instant(fields.AwareDateTime):
    """An RFC 3339 date-time with an offset, kept in UTC to the millisecond. Source: RFC 3339, section 5.6."""

    default_error_messages = EXPECTED

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> datetime:
        try:
            return read_json_instant(value)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **options: Any) -> str | None:
        return None if value is None else rfc3339(value)


class OneOf(fields.Enum[Any]):
    """A member of an enumeration of strings, as it goes out."""

    def __init__(self, kind: type[StrEnum], **options: Any) -> None:
        super().__init__(kind, by_value=True, metadata={"type": "string"}, **options)


class Id(fields.UUID):
    """The id of something, as it was answered."""

    default_error_messages = {"invalid_uuid": "must be an id as flagsched gives it"}


class Limit(fields.Integer):
    """How many to answer at most, from a query."""

    def __init__(self, *, default: int, most: int) -> None:
        super().__init__(load_default=default, metadata={"minimum": 1, "maximum": most})
        self._most = most

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> int:
        if DIGITS.fullmatch(value) and 1 <= int(value) <= self._most:
            return int(value)
        raise ValidationError(f"must be an integer from 1 to {self._most}")


class Cursor(fields.String):
    """Where a page goes on: opaque to callers, to us a JSON array that `read` understands or refuses by ValueError."""

    def __init__(self, read: Callable[[list[Any]], Any], **options: Any) -> None:
        super().__init__(**options)
        self._read = read

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        try:
            place = json.loads(base64.b64decode(value, altchars=b"-_", validate=True).decode("utf-8"))
            if isinstance(place, list):
                return self._read(place)
        except (ValueError, TypeError, RecursionError):
            pass
        raise ValidationError("is not a cursor that flagsched gave")


def cursor(*place: str | int) -> str:
    """The cursor that stands for this place."""
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode()


def read_place(place: list[Any]) -> tuple[datetime, int]:
    """Read an instant and a number as they stand in a cursor; ValueError if they are none."""
    instant, number = place
    if type(number) is not int or not 0 <= number < 2**63:
        raise ValueError(number)
    return read_instant(instant), number
