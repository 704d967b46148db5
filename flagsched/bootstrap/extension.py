"""flagsched in somebody's own Flask app."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import NotFound

from flagsched.bootstrap.logs import use_host_logging
from flagsched.config.settings import RateSettings
from flagsched.database.announcements import announcements_of
from flagsched.database.connections.engine import Limits, open_engine, timeouts
from flagsched.database.connections.listen import listen
from flagsched.database.connections.url import database_url
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import Unavailable
from flagsched.domain.flags import DEFAULT_ENVIRONMENT
from flagsched.domain.limits import DEFAULT_LIMITS, ScheduleLimits
from flagsched.ports.store import Store
from flagsched.snapshots.evaluation import Evaluated, evaluate_flag
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.web.access import DEFAULT_RULES, EvaluationRules
from flagsched.web.admin import flags, history, holds, overrides, plans, schedules, timeline
from flagsched.web.console import builder, coming, door, freezes
from flagsched.web.console import flags as console_flags
from flagsched.web.console import history as console_history
from flagsched.web.console import plans as console_plans
from flagsched.web.evaluation import config, ofrep
from flagsched.web.rate_limits import RateLimits
from flagsched.web.service import Service, serve
from flagsched.web.tokens.verifier import verified_claims
from flagsched.web.unrouted import answer_unrouted

BLUEPRINTS = (
    flags.blueprint,
    schedules.blueprint,
    plans.blueprint,
    holds.blueprint,
    timeline.blueprint,
    overrides.blueprint,
    history.blueprint,
    config.blueprint,
)

CONSOLE = (
    door.blueprint,
    coming.blueprint,
    console_flags.blueprint,
    console_plans.blueprint,
    builder.blueprint,
    freezes.blueprint,
    console_history.blueprint,
)

DRIVERS = ("psycopg2", "pysqlite")
SLASHES = re.compile("/+")
log = structlog.get_logger("flagsched.snapshot")


class FlagSched:
    """Registers flagsched's routes on an app, under `/api/admin` and `/api/config`, or under `url_prefix` before these.

    Flags are kept in the database at `url`, or in that of `engine` (whose pool is shared on PostgreSQL); `flagsched db
    upgrade` makes the tables there, beside the app's own. Tokens are verified by the app's JWTManager, or by `claims`,
    which returns the claims of the request's token, or raises `flagsched.domain.errors.Unauthenticated`.

    `limits` bounds how far ahead and how much may be planned, `rates` how often a caller may write, `evaluation` who
    may evaluate flags, under `/ofrep` and `/api/config`. With `console`, people have pages under `/console`; they sign
    in with tokens that the app verifies in the Authorization header.

    The app keeps its extensions, error handlers and settings; flagsched handles the errors of its own routes alone.

    On PostgreSQL, an `engine` whose server takes no writes gets a new pool: see "Failover" in docs/operations.md.

    The first evaluation in a process starts a thread (on PostgreSQL two, and a connection for LISTEN); `close` ends
    them.
    """

    def __init__(  # noqa: PLR0913 - options, all but the first by name
        self,
        app: Flask | None = None,
        *,
        url: str | None = None,
        engine: sa.Engine | None = None,
        claims: Callable[[], Mapping[str, Any]] = verified_claims,
        limits: ScheduleLimits = DEFAULT_LIMITS,
        rates: RateLimits | None = None,
        evaluation: EvaluationRules = DEFAULT_RULES,
        console: bool = False,
        url_prefix: str = "",
    ) -> None:
        use_host_logging()
        self._store, used_engine = _open_store(url, engine)
        self._own_engine = None if used_engine is engine else used_engine
        self._refresher = open_refresher(self._store, used_engine)
        self._evaluation = evaluation
        self._claims = claims
        self._limits = limits
        self._rates = rates or open_rate_limits(RateSettings())
        self._prefixes = {
            blueprint: f"{url_prefix}{blueprint.url_prefix}"
            for blueprint in (*BLUEPRINTS, ofrep.blueprint, *(CONSOLE if console else ()))
        }
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Register the routes on `app`."""
        serve(app, Service(self._store, self._claims, self._refresher, self._limits, self._rates, self._evaluation))
        app.after_request(self._answer_unrouted)
        for blueprint, prefix in self._prefixes.items():
            app.register_blueprint(blueprint, url_prefix=prefix, name=f"flagsched_{blueprint.name}")

    def is_enabled(
        self,
        flag_key: str,
        user_id: str | None = None,
        environment: str = DEFAULT_ENVIRONMENT,
        default: bool = False,
    ) -> bool:
        """Is the flag on for this user, now? `default` if there is no such flag.

        Answers from memory, in any thread. Raises DatabaseUnavailable if the database was never read.
        """
        if type(user_id) is not str:
            refuse_bad_user_id(user_id)
        flags = self._refresher.effective(environment).flags
        try:
            flag = flags[flag_key]
        except KeyError:
            return default
        return flag.evaluate(user_id).value

    def evaluate(self, flag_key: str, user_id: str | None = None, environment: str = DEFAULT_ENVIRONMENT) -> Evaluated:
        """The flag as it is now, and its value for this user with the reason; FlagMissing, DatabaseUnavailable."""
        refuse_bad_user_id(user_id)
        return evaluate_flag(environment, flag_key, user_id, refresher=self._refresher)

    def close(self) -> None:
        """End its threads and its own connections, that of LISTEN within a second: for a process that makes many.

        `is_enabled` and `evaluate` go on with the last snapshots.
        """
        self._refresher.close()
        if self._own_engine is not None:
            self._own_engine.dispose()

    def _answer_unrouted(self, response: Response) -> Response:
        # A request that no route matches belongs to no blueprint; under our prefixes its error is like all of ours.
        if request.routing_exception is None:
            return response
        path = SLASHES.sub("/", f"{request.path}/")
        ours = any(path.startswith(f"{prefix}/") for prefix in self._prefixes.values())
        # The host may merge slashes: then its routing error is about another path.
        exact = "//" not in request.environ["PATH_INFO"]
        return answer_unrouted(request.routing_exception if exact else NotFound()) if ours else response


def refuse_bad_user_id(user_id: object) -> None:
    """TypeError for a user's id that is not a str, whatever the flag's percentage is."""
    if not (user_id is None or isinstance(user_id, str)):
        raise TypeError(f"user_id must be a str, or None for no particular user, not {type(user_id).__name__}")


def open_rate_limits(settings: RateSettings) -> RateLimits:
    """The rate limits that the settings name."""
    return RateLimits(settings.storage, writes=settings.writes, failed_sign_ins=settings.failed_sign_ins)


def open_refresher(store: Store, engine: sa.Engine) -> SnapshotRefresher:
    """Snapshots of the store, refreshed at once when PostgreSQL notifies of a change."""
    return SnapshotRefresher(
        store,
        listen=partial(listen, engine) if engine.dialect.name == "postgresql" else None,
        on_problem=log_problem,
        announcements=partial(announcements_of, engine.url),
    )


def log_problem(problem: Exception | None) -> None:
    """Log that refreshes begin to fail, or succeed again."""
    if problem is None:
        log.info("database looked at again")
    elif isinstance(problem, Unavailable):
        log.warning("database away, answering from memory", error=problem.code, cause=problem.cause)
    else:
        log.error("database unreadable, answering from memory", exc_info=problem)


def _open_store(url: str | None, engine: sa.Engine | None) -> tuple[Store, sa.Engine]:
    """With an engine of our own, or with the app's."""
    if (url is None) == (engine is None):
        raise ValueError("FlagSched needs either url= or engine=")
    if engine is not None and engine.dialect.driver not in DRIVERS:
        raise ValueError(f"FlagSched works with {' and '.join(DRIVERS)}, not with {engine.dialect.driver}")
    if engine is not None and engine.dialect.name != "sqlite":
        return SqlStore(engine, timeouts=timeouts(Limits())), engine
    # On SQLite, transactions must begin as we say, and the app's engine may begin them otherwise.
    own = open_engine(engine.url if engine is not None else database_url(url or ""), Limits())
    return SqlStore(own), own
