"""Deciding while time passes: what its instant overtakes is decided anew."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flagsched.domain.errors import Overtaken

TRIES = 5

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def retry_when_overtaken(use_case: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """Have a use case that was Overtaken go over it again, from the lock and the clock on; at most five times."""

    @wraps(use_case)
    def decide(*given: Given.args, **named: Given.kwargs) -> Answer:
        for _ in range(TRIES - 1):
            try:
                return use_case(*given, **named)
            except Overtaken:
                continue
        return use_case(*given, **named)

    return decide
