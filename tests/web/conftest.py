"""Web apps with other rules."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from flagsched.bootstrap.web import create_app
from flagsched.config.settings import RateSettings
from flagsched.database.unit_of_work import SqlStore
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.web.access import DEFAULT_RULES, EvaluationRules
from flagsched.web.tokens.claims import TokenRules
from tests.openapi import Contract
from tests.services import web_settings


@pytest.fixture
def faulty(url: sa.URL, store: SqlStore, refresher: SnapshotRefresher) -> FlaskClient:
    """A client of an app of its own, which fails at /broken."""
    app = create_app(web_settings(url), store=store, refresher=refresher)
    app.add_url_rule("/broken", view_func=lambda: str(1 / 0))
    return app.test_client()


@pytest.fixture
def app_with(
    url: sa.URL, store: SqlStore, refresher: SnapshotRefresher
) -> Iterator[Callable[[EvaluationRules], Flask]]:
    """Make an app with other rules, and three failed sign-ins a minute; its answers must be as described as well."""
    contracts: list[Contract] = []

    def make(rules: EvaluationRules) -> Flask:
        changed = replace(web_settings(url), rates=RateSettings(failed_sign_ins=3), evaluation=rules)
        app = create_app(changed, store=store, refresher=refresher)
        contracts.append(Contract(app))
        return app

    yield make
    assert [breach for contract in contracts for breach in contract.breaches] == []


@pytest.fixture
def app_by(sqlite_url: sa.URL) -> Iterator[Callable[..., Flask]]:
    """Make an app with other rules for tokens, which no database has a part in; its answers must be as described."""
    contracts: list[Contract] = []

    def make(rules: TokenRules, evaluation: EvaluationRules = DEFAULT_RULES) -> Flask:
        app = create_app(replace(web_settings(sqlite_url), tokens=rules, evaluation=evaluation))
        contracts.append(Contract(app))
        return app

    yield make
    assert [breach for contract in contracts for breach in contract.breaches] == []
