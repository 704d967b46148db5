"""Settings: read from the environment here and nowhere else, and refused with the variable's name if they are wrong."""

import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from environs import Env, EnvError
from marshmallow import ValidationError
from marshmallow.validate import Length, OneOf, Range, Regexp

from flagsched.database.engine import Limits, database_url
from flagsched.web.jwks import refuse_bad_source
from flagsched.web.public_keys import public_keys_of
from flagsched.web.rules import DEFAULT_RULES, Access, EvaluationRules, refuse_bad_origins, refuse_weak_keys
from flagsched.web.tokens import (
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

__all__ = ["BadSettings", "RateSettings", "Settings", "WebSettings", "WorkerSettings"]

BadSettings = EnvError
"""A setting is missing or wrong; the message names the variable, and never shows a secret."""

INSTANCE = Path("instance")
DEFAULT_DATABASE_URL = f"sqlite:///{INSTANCE / 'flagsched.db'}"
SHORTEST_SECRET = 32
FEWEST_DISTINCT = 10
EXAMPLES = ("change", "example", "replace", "secret", "your-")
LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What every process needs."""

    database_url: sa.URL
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

    storage: str = "memory://"
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
    env = Env()
    if "DATABASE_URL" not in os.environ:
        _make_instance_folder()
    level = env.str("FLAGSCHED_LOG_LEVEL", "INFO", validate=OneOf(LEVELS))
    return Settings(
        database_url=database_url(env.str("DATABASE_URL", DEFAULT_DATABASE_URL, validate=_refused_by(database_url))),
        limits=Limits(pool_size=env.int("FLAGSCHED_POOL_SIZE", 5, validate=Range(1, 1000))),
        log_level=logging.getLevelNamesMapping()[level],
    )


def read_web_settings() -> WebSettings:
    """Read what a web process needs; BadSettings."""
    env = Env()
    common = read_settings()
    if env.bool("FLASK_DEBUG", False) and common.database_url.get_backend_name() == "postgresql":
        raise BadSettings('Environment variable "FLASK_DEBUG" is on: debug mode shows its insides to callers')
    tokens = _read_tokens(env)
    horizon = env.int("FLAGSCHED_HORIZON_DAYS", 366, validate=Range(1, 3660))
    return WebSettings(common, tokens, horizon, _read_rates(env), _read_evaluation(env))


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
    access = Access(
        env.str("FLAGSCHED_EVALUATION_ACCESS", Access.PUBLIC.value, validate=OneOf([a.value for a in Access]))
    )
    keys: frozenset[str] = frozenset(env.list("FLAGSCHED_EVALUATION_KEYS", [], validate=_refused_by(refuse_weak_keys)))
    if access is Access.KEY and not keys:
        raise BadSettings('Environment variable "FLAGSCHED_EVALUATION_KEYS" not set: the access is by key')
    return EvaluationRules(
        access,
        keys,
        origins=frozenset(env.list("FLAGSCHED_CORS_ORIGINS", [], validate=_refused_by(refuse_bad_origins))),
        max_age_seconds=env.int("FLAGSCHED_EVALUATION_MAX_AGE", 1, validate=Range(0, 1)),
    )


def _read_rates(env: Env) -> RateSettings:
    default = RateSettings()
    many = Range(1, 10_000_000)
    return RateSettings(
        storage=env.str("FLAGSCHED_RATE_STORAGE", default.storage, validate=Regexp(r"(memory|rediss?)://")),
        writes=env.int("FLAGSCHED_WRITES_PER_MINUTE", default.writes, validate=many),
        failed_sign_ins=env.int("FLAGSCHED_FAILED_SIGN_INS_PER_MINUTE", default.failed_sign_ins, validate=many),
        proxies=env.int("FLAGSCHED_PROXIES", default.proxies, validate=Range(0, 5)),
    )


def read_worker_settings() -> WorkerSettings:
    """Read what a worker needs; BadSettings."""
    env = Env()
    return WorkerSettings(
        common=read_settings(),
        poll_seconds=env.float("FLAGSCHED_POLL_SECONDS", 1.0, validate=Range(0.05, 60)),
        watchdog_seconds=env.float("FLAGSCHED_WATCHDOG_SECONDS", 60.0, validate=Range(5, 3600)),
    )


def add_default_secret() -> None:
    """Set JWT_SECRET_KEY, for this process and those it starts, to one kept under instance/; for use on one machine."""
    if "JWT_SECRET_KEY" in os.environ:
        return
    kept = INSTANCE / "jwt-secret"
    if not kept.exists() or not kept.read_text():
        _make_instance_folder()
        kept.touch(mode=0o600)
        kept.write_text(secrets.token_hex(SHORTEST_SECRET))
    os.environ["JWT_SECRET_KEY"] = kept.read_text()


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


def _refuse_weak_secret(secret: str) -> None:
    if not secret.isprintable():
        raise ValidationError("must be printable text")
    if len(secret.encode()) < SHORTEST_SECRET:
        raise ValidationError(f"must have at least {SHORTEST_SECRET} bytes; make one with 'openssl rand -hex 32'")
    if len(set(secret)) < FEWEST_DISTINCT or secret.lower().startswith(EXAMPLES):
        raise ValidationError("looks like an example; make one with 'openssl rand -hex 32'")
