"""Flags in the application's own process: `FlagSched.is_enabled`, and the provider for OpenFeature."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from threading import Thread
from threading import enumerate as enumerate_threads
from time import monotonic
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from psutil import Process

from flagsched import FlagSched
from flagsched.domain.errors import DatabaseUnavailable
from flagsched.openfeature import FlagSchedProvider
from tests.clients import USERS, assert_turned_on_at, between_looks, client_of, those_within, told, user, watch
from tests.processes import until

CLAIMS = {"sub": "ada", "role": "admin"}
ADMIN = "/api/admin/flags"


@pytest.fixture
def flags(url: sa.URL) -> Iterator[FlagSched]:
    """What an application has in a process that serves no routes."""
    flags = FlagSched(url=url.render_as_string(hide_password=False))
    yield flags
    flags.close()


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


@pytest.mark.usefixtures("admin")
def test_a_user_may_be_any_text(flags: FlagSched) -> None:
    odd = [f"\ud800{n}\udfff" for n in range(40)]

    enabled = [one for one in odd if flags.is_enabled("some", one)]
    evaluated = [one for one in odd if flags.evaluate("some", one).evaluation.value]

    assert enabled == evaluated == those_within("some", 30, odd)
    assert 0 < len(enabled) < len(odd)


@pytest.mark.parametrize("percentage", [0, 50, 100])
def test_a_user_that_is_no_text_is_refused_whatever_the_percentage(
    flags: FlagSched, admin: FlaskClient, percentage: int
) -> None:
    create(admin, key="half", enabled=True, rolloutPercentage=percentage)
    number: Any = 42

    for ask in (flags.is_enabled, flags.evaluate):
        with pytest.raises(TypeError, match="user_id must be a str"):
            ask("half", number)


def test_a_process_without_routes_sees_a_change_at_its_instant(flags: FlagSched, admin: FlaskClient) -> None:
    instant = between_looks()
    plan = {"scheduledAt": instant.isoformat(), "updates": {"enabled": True}}
    assert admin.post(f"{ADMIN}/dark/schedule", json=plan).status_code == 201

    with client_of(FlagSchedProvider(flags)) as client:
        seen = watch(lambda: client.get_boolean_value("dark", False), until=instant + timedelta(seconds=0.4))

    assert_turned_on_at(instant, seen)
    assert flags.is_enabled("dark")


def threads() -> set[Thread]:
    return {one for one in enumerate_threads() if one.name in {"refresher", "listener"}}


def connections(engine: sa.Engine) -> int:
    """How many others have to the database; SQLite opens the log of writes once for each."""
    if engine.dialect.name == "sqlite":
        return [one.path for one in Process().open_files()].count(f"{engine.url.database}-wal")
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(query).scalar_one())


@pytest.mark.usefixtures("admin")
def test_what_is_closed_leaves_no_thread_and_no_connection(url: sa.URL, engine: sa.Engine) -> None:
    others, before = threads(), connections(engine)
    several = [FlagSched(url=url.render_as_string(hide_password=False)) for _ in range(3)]
    assert all(flags.is_enabled("steady") for flags in several)
    assert [one.name for one in threads() - others].count("refresher") == 3
    assert connections(engine) >= before + 3

    for flags in several:
        flags.close()

    until(lambda: (threads() - others, connections(engine)) == (set(), before), seconds=5, what="nothing is left")
    assert all(flags.is_enabled("steady") for flags in several)
    assert (threads() - others, connections(engine)) == (set(), before)


def test_a_database_that_is_away_is_told_to_the_hosts_log_and_not_printed(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = FlagSched(url="postgresql://nobody@127.0.0.1:1/none")

    with pytest.raises(DatabaseUnavailable):
        flags.is_enabled("steady")
    flags.close()

    assert "database away, answering from memory" in caplog.text
    assert capfd.readouterr().out == ""


def test_nobody_waits_as_long_as_the_first_for_a_database_that_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        flags = FlagSched(url=f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none")
        took = []
        for _ in range(4):
            began_at = monotonic()
            with pytest.raises(DatabaseUnavailable):
                flags.is_enabled("steady")
            took.append(monotonic() - began_at)
        flags.close()

    assert took[0] < 5
    assert max(took[1:]) < 0.8
