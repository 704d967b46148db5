"""The standalone web app: Flask-SQLAlchemy, Flask-Migrate and a JWTManager of its own around the blueprints."""

from datetime import timedelta

import sqlalchemy as sa
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from werkzeug.middleware.proxy_fix import ProxyFix

from flagsched.bootstrap.extension import BLUEPRINTS, CONSOLE, open_rate_limits, open_refresher
from flagsched.bootstrap.logs import configure_logs
from flagsched.bootstrap.settings_warnings import log_unknown_settings
from flagsched.config.settings import WebSettings, read_web_settings
from flagsched.database.connections.engine import engine_options, prepare
from flagsched.database.schema.migrations import configure_arguments, migrations_folder
from flagsched.database.schema.tables import metadata
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.limits import ScheduleLimits
from flagsched.ports.store import Store
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.web import health
from flagsched.web.errors import answer_errors
from flagsched.web.evaluation import ofrep
from flagsched.web.openapi import describe
from flagsched.web.service import Service, serve
from flagsched.web.tokens.verifier import verify_strictly
from flagsched.web.unrouted import begin_unrouted, finish_unrouted


def create_app(
    settings: WebSettings | None = None, *, store: Store | None = None, refresher: SnapshotRefresher | None = None
) -> Flask:
    """Make the web app, from the environment's settings unless others are given.

    `store` and `refresher` replace those that the settings name. Raises BadSettings.
    """
    if settings is None:
        settings = read_web_settings()
        configure_logs(settings.common.log_level)
        log_unknown_settings()
    app = Flask(__name__, static_folder=None)
    claims = verify_strictly(app, settings.tokens)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Fields stand in the order of the views.
    limits = ScheduleLimits(horizon=timedelta(days=settings.horizon_days))
    rates = open_rate_limits(settings.rates)
    if store is None:
        store, engine = _open_store(app, settings)
        refresher = open_refresher(store, engine)
    refresher = refresher or SnapshotRefresher(store)
    serve(app, Service(store, claims, refresher, limits, rates, settings.evaluation, settings.tokens.roles_claim))
    if settings.rates.proxies:
        # The caller's address, behind so many proxies.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.rates.proxies, x_proto=settings.rates.proxies)  # type: ignore[method-assign]
    _register(app, console=settings.console)
    return app


def _open_store(app: Flask, settings: WebSettings) -> tuple[Store, sa.Engine]:
    url = settings.common.database_url
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(url, settings.common.limits)
    db = SQLAlchemy(app, metadata=metadata)
    Migrate(app, db, directory=str(migrations_folder()), **configure_arguments())
    with app.app_context():
        engine = prepare(db.engine, settings.common.limits)
    return SqlStore(engine), engine


def _register(app: Flask, *, console: bool) -> None:
    app.url_map.merge_slashes = False  # A redirect would answer in HTML.
    answer_errors(app)
    app.before_request(begin_unrouted)
    app.after_request(finish_unrouted)
    describe(app, *BLUEPRINTS, health.blueprint)
    app.register_blueprint(ofrep.blueprint)
    for blueprint in CONSOLE if console else ():
        app.register_blueprint(blueprint)
