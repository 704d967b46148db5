"""Flags in the application's own process: `FlagSched.is_enabled`, and the provider for OpenFeature."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from flagsched import FlagSched
from flagsched.openfeature import FlagSchedProvider
from tests.clients import USERS, assert_turned_on_at, between_looks, client_of, those_within, told, user, watch

CLAIMS = {"sub": "ada", "role": "admin"}
ADMIN = "/api/admin/flags"


@pytest.fixture
def flags(url: sa.URL) -> FlagSched:
    """What an application has in a process that serves no routes."""
    return FlagSched(url=url.render_as_string(hide_password=False))


@pytest.fixture
def admin(url: sa.URL) -> Iterator[FlaskClient]:
    """Another application on the same database, in which everybody is an admin."""
    app = Flask("admin")
    FlagSched(app, url=url.render_as_string(hide_password=False), claims=lambda: CLAIMS)
    with app.test_client() as client:
        for key, enabled, percentage in (("steady", True, 100), ("dark", False, 100), ("some", True, 30)):
            create(client, key=key, enabled=enabled, rolloutPercentage=percentage)
        yield client


def create(admin: FlaskClient, **body: Any) -> None:
    assert admin.post(ADMIN, json=body).status_code == 201


@pytest.mark.usefixtures("admin")
def test_the_provider_tells_what_the_server_tells(flags: FlagSched) -> None:
    with client_of(FlagSchedProvider(flags)) as client:
        assert told(client, "steady") == (True, "STATIC", "on", None)
        assert told(client, "dark") == (False, "DISABLED", "off", None)
        assert told(client, "steady", None) == (True, "STATIC", "on", None)
        assert told(client, "none") == (False, "ERROR", None, "FLAG_NOT_FOUND")
        assert told(client, "some", None) == (False, "ERROR", None, "TARGETING_KEY_MISSING")
        assert told(client, "some", USERS[0])[1] == "SPLIT"
        assert client.get_string_details("steady", "code").error_code == "TYPE_MISMATCH"
        inside = [one for one in USERS if client.get_boolean_value("some", False, user(one))]

    assert inside == those_within("some", 30)


def test_the_provider_answers_for_its_own_environment(flags: FlagSched, admin: FlaskClient) -> None:
    create(admin, key="steady", environment="staging", enabled=False)

    with client_of(FlagSchedProvider(flags, "staging")) as client:
        assert told(client, "steady") == (False, "DISABLED", "off", None)
        assert told(client, "dark") == (False, "ERROR", None, "FLAG_NOT_FOUND")


@pytest.mark.usefixtures("admin")
def test_a_flag_that_is_missing_is_as_the_application_says(flags: FlagSched) -> None:
    assert [flags.is_enabled(key, "ada") for key in ("steady", "dark", "none")] == [True, False, False]
    assert flags.is_enabled("none", default=True)
    assert not flags.is_enabled("dark", default=True)
    assert not flags.is_enabled("some")
    assert [one for one in USERS if flags.is_enabled("some", one)] == those_within("some", 30)


def test_a_process_without_routes_sees_a_change_at_its_instant(flags: FlagSched, admin: FlaskClient) -> None:
    instant = between_looks()
    plan = {"scheduledAt": instant.isoformat(), "updates": {"enabled": True}}
    assert admin.post(f"{ADMIN}/dark/schedule", json=plan).status_code == 201

    with client_of(FlagSchedProvider(flags)) as client:
        seen = watch(lambda: client.get_boolean_value("dark", False), until=instant + timedelta(seconds=0.4))

    assert_turned_on_at(instant, seen)
    assert flags.is_enabled("dark")
