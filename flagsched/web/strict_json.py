"""JSON that has one meaning: no name twice in an object, no value outside the standard, and bounded."""

import json
import math
from collections import Counter
from typing import Any, NoReturn

MAX_DIGITS = 4300


class OverLimit(ValueError):
    """JSON that is nested too deep, or has too many names or digits; the text says which."""


def parse_json(body: bytes, decoder: json.JSONDecoder) -> Any:
    """Parse UTF-8 JSON with a decoder of `strict_decoder`; ValueError, OverLimit among them."""
    try:
        return decoder.decode(_text(body))
    except RecursionError as error:
        raise OverLimit("is nested too deep") from error


def strict_decoder(max_names: int) -> json.JSONDecoder:
    """A decoder that refuses duplicate names, objects of more than `max_names` names, NaN and Infinity."""

    def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(pairs) > max_names:
            raise OverLimit(f"has an object with more than {max_names} names")
        members = dict(pairs)
        if len(members) < len(pairs):
            raise ValueError(f"the name {_first_duplicate(pairs)[:100]!r} appears twice in one object")
        return members

    return json.JSONDecoder(
        object_pairs_hook=read_object, parse_constant=_refuse_constant, parse_float=_float, parse_int=_integer
    )


def _text(body: bytes) -> str:
    text = body.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("it begins with a byte order mark")
    return text


def _first_duplicate(pairs: list[tuple[str, Any]]) -> str:
    return next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise OverLimit(f"has a number that is too large: {text[:40]}")
    return number


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise OverLimit(f"has a number of more than {MAX_DIGITS} digits")
    return int(text)
