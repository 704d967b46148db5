"""The settings of each kind of process."""

import logging
import os
import re
from dataclasses import dataclass, field

import sqlalchemy as sa
from marshmallow.validate import Range, Regexp

from flagsched.config.environment import BadSettings, env, in_any_case, refused_by
from flagsched.config.instance import DEFAULT_DATABASE_URL, make_instance_folder
from flagsched.config.tokens import read_tokens
from flagsched.database.connections.engine import Limits
from flagsched.database.connections.url import database_url
from flagsched.web.access import DEFAULT_RULES, Access, EvaluationRules, refuse_bad_origins, refuse_weak_keys
from flagsched.web.rate_limits import refuse_bad_storage
from flagsched.web.tokens.claims import TokenRules

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
DEBUG_OFF = {"", "0", "false", "no"}
"""As Flask reads FLASK_DEBUG: any other value means on."""
HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])\Z")
HOST_NEEDED = "must be a name or an address; IPv6 in brackets, like [::1]"
MAX_PROCESSES = 10_000
MAX_PER_MINUTE = 10_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What every process needs."""

    database_url: sa.URL = field(repr=False)
    limits: Limits
    log_level: int


@dataclass(frozen=True, slots=True)
class RateSettings:
    """How many requests a caller may send in a minute, and where they are counted."""

    storage: str = field(default="memory://", repr=False)
    """Its URL may hold the password of a Redis."""
    writes: int = 600
    failed_sign_ins: int = 60
    proxies: int = 0


@dataclass(frozen=True, slots=True)
class WebSettings:
    """What a web process needs, and a command that makes tokens for it."""

    common: Settings
    tokens: TokenRules
    horizon_days: int
    rates: RateSettings
    evaluation: EvaluationRules = DEFAULT_RULES
    console: bool = True
    """Are there pages for people?"""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker needs; times in seconds."""

    common: Settings
    poll_seconds: float
    watchdog_seconds: float


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What gunicorn.conf.py needs."""

    bind: str
    workers: int
    threads: int


def read_settings() -> Settings:
    """Read what every process needs; BadSettings."""
    if "DATABASE_URL" not in os.environ:
        make_instance_folder()
    level = env.str("FLAGSCHED_LOG_LEVEL", "INFO", validate=in_any_case(LOG_LEVELS)).upper()
    return Settings(
        database_url=database_url(env.str("DATABASE_URL", DEFAULT_DATABASE_URL, validate=refused_by(database_url))),
        limits=Limits(pool_size=env.int("FLAGSCHED_POOL_SIZE", 5, validate=Range(1, 1000))),
        log_level=logging.getLevelNamesMapping()[level],
    )


def read_web_settings() -> WebSettings:
    """Read what a web process needs; BadSettings."""
    common = read_settings()
    env.bool("FLASK_DEBUG", False)
    debug = os.environ.get("FLASK_DEBUG", "").lower() not in DEBUG_OFF
    if debug and common.database_url.get_backend_name() == "postgresql":
        raise BadSettings('Environment variable "FLASK_DEBUG" is on: debug mode shows its insides to callers')
    horizon_days = env.int("FLAGSCHED_HORIZON_DAYS", 366, validate=Range(1, 3660))
    console = env.bool("FLAGSCHED_CONSOLE", True)
    return WebSettings(common, read_tokens(), horizon_days, read_rate_settings(), _read_evaluation(), console)


def read_rate_settings() -> RateSettings:
    """Read how many requests a caller may send; BadSettings."""
    default, limit = RateSettings(), Range(1, MAX_PER_MINUTE)
    return RateSettings(
        storage=env.str("FLAGSCHED_RATE_STORAGE", default.storage, validate=refused_by(refuse_bad_storage)),
        writes=env.int("FLAGSCHED_WRITES_PER_MINUTE", default.writes, validate=limit),
        failed_sign_ins=env.int("FLAGSCHED_FAILED_SIGN_INS_PER_MINUTE", default.failed_sign_ins, validate=limit),
        proxies=env.int("FLAGSCHED_PROXIES", default.proxies, validate=Range(0, 5)),
    )


def read_worker_settings() -> WorkerSettings:
    """Read what a worker needs; BadSettings."""
    return WorkerSettings(
        common=read_settings(),
        poll_seconds=env.float("FLAGSCHED_POLL_SECONDS", 1.0, validate=Range(0.05, 60)),
        watchdog_seconds=env.float("FLAGSCHED_WATCHDOG_SECONDS", 60.0, validate=Range(5, 3600)),
    )


def read_server_settings() -> ServerSettings:
    """Read what gunicorn.conf.py needs; BadSettings."""
    host = env.str("HOST", "0.0.0.0", validate=Regexp(HOST, error=HOST_NEEDED))  # noqa: S104 - a router stands before it
    return ServerSettings(
        bind=f"{host}:{env.int('PORT', 8000, validate=Range(1, 65535))}",
        workers=env.int("WEB_CONCURRENCY", 2, validate=Range(1, MAX_PROCESSES)),
        threads=env.int("FLAGSCHED_THREADS", 8, validate=Range(1, MAX_PROCESSES)),
    )


def _read_evaluation() -> EvaluationRules:
    choices = [access.value for access in Access]
    access = Access(env.str("FLAGSCHED_EVALUATION_ACCESS", Access.PUBLIC, validate=in_any_case(choices)).lower())
    keys: frozenset[str] = frozenset(env.list("FLAGSCHED_EVALUATION_KEYS", [], validate=refused_by(refuse_weak_keys)))
    if access is Access.KEY and not keys:
        raise BadSettings('Environment variable "FLAGSCHED_EVALUATION_KEYS" not set: the access is by key')
    return EvaluationRules(
        access,
        keys,
        origins=frozenset(env.list("FLAGSCHED_CORS_ORIGINS", [], validate=refused_by(refuse_bad_origins))),
        max_age_seconds=env.int("FLAGSCHED_EVALUATION_MAX_AGE", 1, validate=Range(0, 1)),
    )
