"""Web apps with other rules."""

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from flask import Flask

from flagsched.bootstrap.web import create_app
from flagsched.config import RateSettings
from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.looking import Looking
from flagsched.web.rules import EvaluationRules
from tests.conftest import web_settings
from tests.openapi import Contract


@pytest.fixture
def app_with(url: sa.URL, store: SqlStore, looking: Looking) -> Iterator[Callable[[EvaluationRules], Flask]]:
    """Make an app with other rules, and three failed sign-ins a minute; its answers must be as described as well."""
    contracts: list[Contract] = []

    def make(rules: EvaluationRules) -> Flask:
        settings = web_settings(url)
        rates = RateSettings(failed_sign_ins=3)
        changed = type(settings)(
            settings.common, settings.jwt_algorithm, settings.jwt_key, settings.horizon_days, rates, rules
        )
        app = create_app(changed, store=store, looking=looking)
        contracts.append(Contract(app))
        return app

    yield make
    assert [breach for contract in contracts for breach in contract.breaches] == []
