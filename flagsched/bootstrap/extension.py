"""flagsched in somebody's own Flask app."""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from flask import Flask

from flagsched.database.engine import Limits, database_url, open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.schedules import DEFAULT_LIMITS, PlanLimits
from flagsched.web.api import config, flags, schedules
from flagsched.web.auth import verified_claims
from flagsched.web.context import Service, serve

BLUEPRINTS = (flags.blueprint, schedules.blueprint, config.blueprint)


class FlagSched:
    """Registers flagsched's routes on an app, under `/api/admin` and `/api/config`, or under `url_prefix` before these.

    Flags are kept in the database at `url`, or in that of `engine` (whose pool is shared on PostgreSQL); `flagsched db
    upgrade` makes the tables there, beside the app's own. Tokens are verified by the app's JWTManager, or by `claims`,
    which gives the claims of the request's token, or raises `flagsched.domain.errors.Unauthenticated`.

    The app keeps its extensions, error handlers and settings; errors are answered for flagsched's own routes alone.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        url: str | None = None,
        engine: sa.Engine | None = None,
        claims: Callable[[], Mapping[str, Any]] = verified_claims,
        limits: PlanLimits = DEFAULT_LIMITS,
        url_prefix: str = "",
    ) -> None:
        self._engine = _engine(url, engine)
        self._claims = claims
        self._limits = limits
        self._url_prefix = url_prefix
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Register the routes on `app`."""
        serve(app, Service(SqlStore(self._engine), self._claims, self._limits))
        for blueprint in BLUEPRINTS:
            prefix = f"{self._url_prefix}{blueprint.url_prefix}"
            app.register_blueprint(blueprint, url_prefix=prefix, name=f"flagsched_{blueprint.name}")


def _engine(url: str | None, given: sa.Engine | None) -> sa.Engine:
    if url is not None and given is None:
        return open_engine(database_url(url), Limits())
    if given is None or url is not None:
        raise ValueError("FlagSched needs either url= or engine=")
    # SQLite must begin its transactions as we say, which the app's own engine need not do.
    return open_engine(given.url, Limits()) if given.dialect.name == "sqlite" else given
