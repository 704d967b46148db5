"""Environment variables: what is dropped around their values, and how a wrong one is refused."""

import os
from collections.abc import Callable, Collection
from difflib import get_close_matches
from typing import Any

from environs import Env, EnvError
from marshmallow import ValidationError

BadSettings = EnvError
"""A setting is missing or wrong; the message names the variable, and never shows a secret."""
PREFIX = "FLAGSCHED_"
SETTINGS = frozenset({
    "FLAGSCHED_CONSOLE",
    "FLAGSCHED_CORS_ORIGINS",
    "FLAGSCHED_EVALUATION_ACCESS",
    "FLAGSCHED_EVALUATION_KEYS",
    "FLAGSCHED_EVALUATION_MAX_AGE",
    "FLAGSCHED_FAILED_SIGN_INS_PER_MINUTE",
    "FLAGSCHED_HORIZON_DAYS",
    "FLAGSCHED_LOG_LEVEL",
    "FLAGSCHED_POLL_SECONDS",
    "FLAGSCHED_POOL_SIZE",
    "FLAGSCHED_PROXIES",
    "FLAGSCHED_RATE_STORAGE",
    "FLAGSCHED_THREADS",
    "FLAGSCHED_TOKEN",
    "FLAGSCHED_URL",
    "FLAGSCHED_WATCHDOG_SECONDS",
    "FLAGSCHED_WRITES_PER_MINUTE",
})  # fmt: skip
"""All settings with our prefix: another variable that has it is misspelt."""
QUOTES = ("'", '"')
LINE_BREAKS = "\r\n"
SECRETS = frozenset({"JWT_SECRET_KEY", "JWT_OLD_SECRET_KEY"})


class Environment(Env):
    """The environment's variables without blanks and line breaks around their values; BadSettings for one in quotes.

    Of a secret only the line breaks at its end are dropped, as a file has them: other programs sign with it too, and
    blanks may be part of it for them, so these are refused.
    """

    def _get_value(self, env_key: str, default: Any) -> Any:
        text = super()._get_value(env_key, default)
        if env_key not in os.environ:
            return text
        value = text.rstrip(LINE_BREAKS) if env_key in SECRETS else text.strip()
        if value != value.strip():
            raise BadSettings(f'Environment variable "{env_key}" invalid: begins or ends with a blank')
        if len(value) > 1 and value[0] == value[-1] and value.startswith(QUOTES):
            raise BadSettings(f'Environment variable "{env_key}" invalid: is in quotes: write it without them')
        return value


env = Environment()


def unknown_settings() -> dict[str, str]:
    """The variables with our prefix that are no settings, each with the setting that it resembles, or ''."""
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in SETTINGS)
    return {name: next(iter(get_close_matches(name, SETTINGS, n=1, cutoff=0.8)), "") for name in unknown}


def refused_by(refuse: Callable[[Any], object]) -> Callable[[Any], None]:
    """A validator from a function that raises ValueError: so the message names the variable."""

    def validate(value: Any) -> None:
        try:
            refuse(value)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    return validate


def in_any_case(choices: Collection[str]) -> Callable[[str], None]:
    """OneOf, but in small letters or capitals."""
    folded = {choice.lower() for choice in choices}

    def validate(value: str) -> None:
        if value.lower() not in folded:
            raise ValidationError(f"Must be one of: {', '.join(choices)}.")

    return validate
