"""JSON that has one meaning: no name twice in an object, and no value outside the standard."""

import json
import math
from collections import Counter
from typing import Any, NoReturn


class NotJson(ValueError):
    """The text says why, and in which line if it is known."""


def parse_json(text: str) -> Any:
    """Parse a single value; NotJson."""
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise NotJson(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    except NotJson:
        raise
    except ValueError as error:
        raise NotJson("has a number of too many digits") from error
    except RecursionError as error:
        raise NotJson("is nested too deep") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise NotJson(f"{name!r} appears twice in one object")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is not a JSON value")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotJson(f"has a number that is too large: {text[:40]}")
    return number


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_float)
