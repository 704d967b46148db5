"""Settings: read from the environment here and nowhere else, and refused with the variable's name if they are wrong."""

import logging
import os
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from environs import Env, EnvError
from marshmallow import ValidationError
from marshmallow.validate import Length, OneOf, Range

from flagsched import variables
from flagsched.database.connections.engine import Limits
from flagsched.database.connections.url import database_url
from flagsched.variables import ServerSettings, as_meant
from flagsched.web.access import DEFAULT_RULES, Access, EvaluationRules, refuse_bad_origins, refuse_weak_keys
from flagsched.web.rate_limits import refuse_bad_storage
from flagsched.web.tokens.claims import (
    ALGORITHMS,
    AUDIENCE_CLAIMS,
    DEFAULT_ROLES_CLAIM,
    HS256,
    MAX_LEEWAY_SECONDS,
    RS256,
    TokenRules,
    refuse_bad_audiences,
    refuse_bad_claim,
)
from flagsched.web.tokens.jwks import refuse_bad_source
from flagsched.web.tokens.public_keys import public_keys_of

__all__ = ["BadSettings", "RateSettings", "ServerSettings", "Settings", "WebSettings", "WorkerSettings"]

BadSettings = EnvError
"""A setting is missing or wrong; the message names the variable, and never shows a secret."""

INSTANCE = Path("instance")
KEPT_SECRET = INSTANCE / "jwt-secret"
DEFAULT_DATABASE_URL = f"sqlite:///{INSTANCE / 'flagsched.db'}"
SHORTEST_SECRET = 32
FEWEST_DISTINCT = 10
EXAMPLES = ("change", "example", "replace", "secret", "your-")
LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"]
# As Flask reads it: all else is on.
NOT_DEBUG = {"", "0", "false", "no"}
KNOWN = frozenset({
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
    "FLAGSCHED_WATCHDOG_SECONDS",
    "FLAGSCHED_WRITES_PER_MINUTE",
})  # fmt: skip
"""All settings that begin like ours: another one is misspelt."""


class Variables(Env):
    """The environment, in which every variable is taken as it was meant, or refused; see `variables.as_meant`."""

    def _get_value(self, env_key: str, default: Any) -> Any:
        value = super()._get_value(env_key, default)
        try:
            return as_meant(env_key, value) if env_key in os.environ else value
        except ValueError as error:
            raise BadSettings(f'Environment variable "{env_key}" invalid: {error}') from error


@dataclass(frozen=True, slots=True)
class Settings:
    """What every process needs."""

    database_url: sa.URL = field(repr=False)
    limits: Limits
    log_level: int


@dataclass(frozen=True, slots=True)
class WebSettings:
    """What a web process needs, and whoever makes tokens for it."""

    common: Settings
    tokens: TokenRules
    horizon_days: int
    rates: "RateSettings"
    evaluation: EvaluationRules = DEFAULT_RULES


@dataclass(frozen=True, slots=True)
class RateSettings:
    """How often somebody may ask, per minute, and where that is counted."""

    storage: str = field(default="memory://", repr=False)
    """With the password of a Redis."""
    writes: int = 600
    failed_sign_ins: int = 60
    proxies: int = 0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker needs; times in seconds."""

    common: Settings
    poll_seconds: float
    watchdog_seconds: float


def read_settings() -> Settings:
    """Read what every process needs; BadSettings."""
    env = Variables()
    if "DATABASE_URL" not in os.environ:
        _make_instance_folder()
    level = env.str("FLAGSCHED_LOG_LEVEL", "INFO", validate=_in_any_case(LEVELS)).upper()
    return Settings(
        database_url=database_url(env.str("DATABASE_URL", DEFAULT_DATABASE_URL, validate=_refused_by(database_url))),
        limits=Limits(pool_size=env.int("FLAGSCHED_POOL_SIZE", 5, validate=Range(1, 1000))),
        log_level=logging.getLevelNamesMapping()[level],
    )


def read_web_settings() -> WebSettings:
    """Read what a web process needs; BadSettings."""
    env = Variables()
    common = read_settings()
    env.bool("FLASK_DEBUG", False)
    debug = os.environ.get("FLASK_DEBUG", "").lower() not in NOT_DEBUG
    if debug and common.database_url.get_backend_name() == "postgresql":
        raise BadSettings('Environment variable "FLASK_DEBUG" is on: debug mode shows its insides to callers')
    tokens = _read_tokens(env)
    horizon = env.int("FLAGSCHED_HORIZON_DAYS", 366, validate=Range(1, 3660))
    return WebSettings(common, tokens, horizon, read_rate_settings(), _read_evaluation(env))


def _read_tokens(env: Env) -> TokenRules:
    algorithm = env.str("JWT_ALGORITHM", HS256, validate=OneOf(ALGORITHMS))
    secrets, public_keys, jwks = (_read_secrets(env), (), "") if algorithm == HS256 else ((), *_read_keys(env))
    _require_together(algorithm)
    return TokenRules(
        algorithm,
        secrets,
        public_keys,
        jwks,
        issuer=env.str("JWT_ISSUER", None, validate=Length(min=1)),
        audiences=frozenset(env.list("JWT_AUDIENCE", [], validate=_refused_by(refuse_bad_audiences))),
        audience_claim=env.str("JWT_AUDIENCE_CLAIM", AUDIENCE_CLAIMS[0], validate=OneOf(AUDIENCE_CLAIMS)),
        leeway_seconds=env.int("JWT_LEEWAY_SECONDS", 10, validate=Range(0, MAX_LEEWAY_SECONDS)),
        roles_claim=env.str("JWT_ROLES_CLAIM", DEFAULT_ROLES_CLAIM, validate=_refused_by(refuse_bad_claim)),
    )


def _require_together(algorithm: str) -> None:
    missing = [name for name in ("JWT_ISSUER", "JWT_AUDIENCE") if name not in os.environ]
    if algorithm == RS256 and missing:
        raise BadSettings(f'Environment variable "{missing[0]}" not set: an issuer signs tokens for others too')
    if "JWT_AUDIENCE" in missing and "JWT_AUDIENCE_CLAIM" in os.environ:
        raise BadSettings('Environment variable "JWT_AUDIENCE" not set: JWT_AUDIENCE_CLAIM says where it stands')
    if algorithm == HS256 and "JWT_JWKS" in os.environ:
        raise BadSettings('Environment variable "JWT_JWKS" needs JWT_ALGORITHM=RS256')


def _read_secrets(env: Env) -> tuple[str, ...]:
    secret = env.str("JWT_SECRET_KEY", validate=_refuse_weak_secret)
    old = env.str("JWT_OLD_SECRET_KEY", None, validate=_refuse_weak_secret)
    return (secret, old) if old else (secret,)


def _read_keys(env: Env) -> tuple[tuple[str, ...], str]:
    """The public keys, or where they are: one of both."""
    if "JWT_JWKS" not in os.environ:
        text = env.str("JWT_PUBLIC_KEY", validate=_refused_by(public_keys_of))
        return public_keys_of(text), ""
    if "JWT_PUBLIC_KEY" in os.environ:
        raise BadSettings('Environment variable "JWT_JWKS" is set, and "JWT_PUBLIC_KEY" too: set one of them')
    return (), env.str("JWT_JWKS", validate=_refused_by(refuse_bad_source))


def _read_evaluation(env: Env) -> EvaluationRules:
    accesses = [access.value for access in Access]
    access = Access(env.str("FLAGSCHED_EVALUATION_ACCESS", Access.PUBLIC, validate=_in_any_case(accesses)).lower())
    keys: frozenset[str] = frozenset(env.list("FLAGSCHED_EVALUATION_KEYS", [], validate=_refused_by(refuse_weak_keys)))
    if access is Access.KEY and not keys:
        raise BadSettings('Environment variable "FLAGSCHED_EVALUATION_KEYS" not set: the access is by key')
    return EvaluationRules(
        access,
        keys,
        origins=frozenset(env.list("FLAGSCHED_CORS_ORIGINS", [], validate=_refused_by(refuse_bad_origins))),
        max_age_seconds=env.int("FLAGSCHED_EVALUATION_MAX_AGE", 1, validate=Range(0, 1)),
    )


def read_rate_settings() -> RateSettings:
    """Read how often somebody may ask; BadSettings."""
    env = Variables()
    default = RateSettings()
    many = Range(1, 10_000_000)
    return RateSettings(
        storage=env.str("FLAGSCHED_RATE_STORAGE", default.storage, validate=_refused_by(refuse_bad_storage)),
        writes=env.int("FLAGSCHED_WRITES_PER_MINUTE", default.writes, validate=many),
        failed_sign_ins=env.int("FLAGSCHED_FAILED_SIGN_INS_PER_MINUTE", default.failed_sign_ins, validate=many),
        proxies=env.int("FLAGSCHED_PROXIES", default.proxies, validate=Range(0, 5)),
    )


def read_worker_settings() -> WorkerSettings:
    """Read what a worker needs; BadSettings."""
    env = Variables()
    return WorkerSettings(
        common=read_settings(),
        poll_seconds=env.float("FLAGSCHED_POLL_SECONDS", 1.0, validate=Range(0.05, 60)),
        watchdog_seconds=env.float("FLAGSCHED_WATCHDOG_SECONDS", 60.0, validate=Range(5, 3600)),
    )


def read_server_settings() -> ServerSettings:
    """Read what gunicorn.conf.py reads; BadSettings."""
    try:
        return variables.server_settings(os.environ)
    except ValueError as error:
        raise BadSettings(str(error)) from error


def unknown_settings() -> dict[str, str]:
    """The variables that begin like ours and are none, each with the setting that it resembles, or ''."""
    return variables.unknown_settings(os.environ, KNOWN)


def add_default_secret() -> None:
    """Set JWT_SECRET_KEY, for this process and those it starts, to one kept under instance/; for use on one machine."""
    if "JWT_SECRET_KEY" not in os.environ and not use_kept_secret():
        _make_instance_folder()
        KEPT_SECRET.touch(mode=0o600)
        KEPT_SECRET.chmod(0o600)
        KEPT_SECRET.write_text(secrets.token_hex(SHORTEST_SECRET))
        use_kept_secret()


def use_kept_secret() -> bool:
    """Set JWT_SECRET_KEY, unless it is set, to the one that `flagsched run` keeps in this folder; is there one?"""
    kept = KEPT_SECRET.read_text() if KEPT_SECRET.is_file() else ""
    if kept.strip():
        os.environ.setdefault("JWT_SECRET_KEY", kept)
    return bool(kept.strip())


def _make_instance_folder() -> None:
    try:
        INSTANCE.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise BadSettings(f"DATABASE_URL is not set, and the folder for SQLite can't be made: {error}") from error


def _refused_by(refuse: Callable[[Any], object]) -> Callable[[Any], None]:
    """The same judgement, so that the variable's name is told with it."""

    def validate(given: Any) -> None:
        try:
            refuse(given)
        except ValueError as error:
            raise ValidationError(str(error)) from error

    return validate


def _in_any_case(choices: Collection[str]) -> Callable[[str], None]:
    """OneOf, but in small letters or capitals."""
    folded = {choice.lower() for choice in choices}

    def validate(given: str) -> None:
        if given.lower() not in folded:
            raise ValidationError(f"Must be one of: {', '.join(choices)}.")

    return validate


def _refuse_weak_secret(secret: str) -> None:
    if not secret.isprintable():
        raise ValidationError("must be printable text")
    if len(secret.encode()) < SHORTEST_SECRET:
        raise ValidationError(f"must have at least {SHORTEST_SECRET} bytes; make one with 'openssl rand -hex 32'")
    if len(set(secret)) < FEWEST_DISTINCT or secret.lower().startswith(EXAMPLES):
        raise ValidationError("looks like an example; make one with 'openssl rand -hex 32'")
