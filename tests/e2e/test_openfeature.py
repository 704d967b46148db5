"""What the OpenFeature SDK's own OFREP provider is told by a real server, with no worker anywhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider

from tests.clients import USERS, assert_turned_on_at, between_looks, client_of, those_within, told, user, watch
from tests.processes import a_token, until, web

KEY = "a-key-of-an-application"
FLAGS: list[dict[str, Any]] = [
    {"key": "steady", "enabled": True},
    {"key": "dark", "enabled": False},
    {"key": "nobody", "enabled": True, "rolloutPercentage": 0},
    {"key": "some", "enabled": True, "rolloutPercentage": 30},
]


class Admin:
    """Plans over HTTP."""

    def __init__(self, address: str) -> None:
        self._flags = f"{address}/api/admin/flags"
        self._headers = {"Authorization": f"Bearer {a_token()}"}

    def create(self, *flags: dict[str, Any]) -> None:
        for flag in flags:
            self._post(self._flags, flag)

    def include(self, key: str, user_id: str) -> None:
        self._post(f"{self._flags}/{key}/users", {"userId": user_id, "override": "include"})

    def plan(self, key: str, at: datetime, **updates: Any) -> None:
        self._post(f"{self._flags}/{key}/schedule", {"scheduledAt": at.isoformat(), "updates": updates})

    def _post(self, address: str, body: dict[str, Any]) -> None:
        answer = requests.post(address, json=body, headers=self._headers, timeout=9)
        assert answer.status_code == 201, answer.text


@contextmanager
def ofrep(address: str, **headers: str) -> Iterator[OpenFeatureClient]:
    """A client of the SDK that asks the server at `address`, with these headers."""
    provider = OFREPProvider(address, headers_factory=lambda: headers)
    with provider.session, client_of(provider) as client:
        yield client


def test_the_sdk_tells_values_reasons_and_errors_as_they_were_meant(url: sa.URL, tmp_path: Path) -> None:
    with web(url, tmp_path / "web.log") as address, ofrep(address) as client:
        admin = Admin(address)
        admin.create(*FLAGS)
        admin.include("nobody", "ada")

        until(lambda: told(client, "nobody")[1] == "TARGETING_MATCH", seconds=1, what="all of it is known")
        assert told(client, "steady") == (True, "STATIC", "on", None)
        assert told(client, "dark") == (False, "DISABLED", "off", None)
        assert told(client, "nobody") == (True, "TARGETING_MATCH", "on", None)
        assert told(client, "nobody", "bob") == (False, "STATIC", "off", None)
        assert told(client, "steady", None) == (True, "STATIC", "on", None)
        assert told(client, "none") == (False, "ERROR", None, "FLAG_NOT_FOUND")
        assert told(client, "some", None) == (False, "ERROR", None, "TARGETING_KEY_MISSING")
        assert client.get_string_details("steady", "code").error_code == "TYPE_MISMATCH"
        inside = [one for one in USERS if client.get_boolean_value("some", False, user(one))]
        assert {told(client, "some", one)[1] for one in USERS[:9]} == {"SPLIT"}

    assert inside == those_within("some", 30)


def test_the_sdk_sees_a_change_at_its_instant_with_no_worker(url: sa.URL, tmp_path: Path) -> None:
    with web(url, tmp_path / "web.log") as address, ofrep(address) as client:
        admin = Admin(address)
        admin.create({"key": "x"})
        instant = between_looks()
        admin.plan("x", instant, enabled=True)

        seen = watch(lambda: client.get_boolean_value("x", False), until=instant + timedelta(seconds=0.4))
        afterwards = client.get_boolean_details("x", False)

    assert_turned_on_at(instant, seen)
    assert afterwards.flag_metadata == {"version": 2}


@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
def test_an_application_shows_its_key_by_the_providers_headers(sqlite_url: sa.URL, tmp_path: Path, header: str) -> None:
    rules = {"FLAGSCHED_EVALUATION_ACCESS": "key", "FLAGSCHED_EVALUATION_KEYS": f"another-key-of-ours,{KEY}"}
    shown = {"X-API-Key": KEY, "Authorization": f"Bearer {KEY}"}[header]
    with web(sqlite_url, tmp_path / "web.log", **rules) as address:
        Admin(address).create({"key": "x", "enabled": True})

        with ofrep(address, **{header: shown}) as client:
            until(lambda: told(client, "x") == (True, "STATIC", "on", None), seconds=1, what="it is known")
        for refused in ({}, {header: shown.upper()}):
            with ofrep(address, **refused) as client:
                assert told(client, "x") == (False, "ERROR", None, "GENERAL")
