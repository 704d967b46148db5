"""Callers over a rate limit get 429, and no others."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from flagsched.bootstrap.web import create_app
from flagsched.config.settings import RateSettings
from flagsched.database.unit_of_work import SqlStore
from tests.processes import free_port, started
from tests.rows import count
from tests.services import web_settings

FLAGS = "/api/admin/flags"
Authorized = dict[str, str]


@pytest.fixture
def client(url: sa.URL, store: SqlStore) -> FlaskClient:
    return limited(url, store, RateSettings(writes=3, failed_sign_ins=3))


def limited(url: sa.URL, store: SqlStore, rates: RateSettings) -> FlaskClient:
    return create_app(replace(web_settings(url), rates=rates), store=store).test_client()


@pytest.fixture
def bearer(token: Callable[..., str]) -> Callable[[str], Authorized]:
    return lambda subject: {"Authorization": f"Bearer {token(subject=subject)}"}


def test_a_principal_that_writes_too_often_waits_and_no_other(
    client: FlaskClient, bearer: Callable[[str], Authorized], engine: sa.Engine
) -> None:
    answers = [client.post(FLAGS, json={"key": f"f{n}"}, headers=bearer("ada")) for n in range(4)]

    assert [answer.status_code for answer in answers] == [201, 201, 201, 429]
    assert answers[-1].json["error"] == "RATE_LIMITED"
    assert answers[-1].json["message"] == "more than 3 writes in a minute"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert "Retry-After" not in answers[0].headers
    assert client.get(FLAGS, headers=bearer("ada")).status_code == 200
    assert client.post(FLAGS, json={"key": "b"}, headers=bearer("bob")).status_code == 201
    assert count(engine, "feature_flags") == 4


def test_an_address_that_fails_to_sign_in_too_often_waits_and_valid_tokens_do_not(
    client: FlaskClient, bearer: Callable[[str], Authorized]
) -> None:
    def failing(address: str) -> int:
        return client.get(FLAGS, environ_base={"REMOTE_ADDR": address}).status_code

    assert [failing("192.0.2.1") for _ in range(4)] == [401, 401, 401, 429]
    assert failing("192.0.2.2") == 401
    assert client.get(FLAGS, headers=bearer("ada"), environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 200


def test_one_ipv6_network_is_one_address(client: FlaskClient) -> None:
    def failing(address: str) -> int:
        return client.get(FLAGS, environ_base={"REMOTE_ADDR": address}).status_code

    assert [failing(f"2001:db8::{n}") for n in range(4)] == [401, 401, 401, 429]
    assert failing("2001:db8:0:1::1") == 401


def test_writes_without_the_right_count_too(client: FlaskClient, token: Callable[..., str]) -> None:
    headers = {"Authorization": f"Bearer {token(role='reader')}"}

    assert [client.post(FLAGS, json={}, headers=headers).status_code for _ in range(4)] == [403, 403, 403, 429]


@pytest.mark.parametrize(
    "written", ["192.0.2.1:{}", "[2001:db8::1]:{}", "[2001:db8::{}]", "::ffff:192.0.2.1", "[::ffff:192.0.2.1]:{}"]
)
def test_a_caller_is_one_address_however_a_proxy_writes_it(client: FlaskClient, written: str) -> None:
    def failing(address: str) -> int:
        return client.get(FLAGS, environ_base={"REMOTE_ADDR": address}).status_code

    one = [failing(written.format(port)) for port in range(4001, 4005)]

    assert one == [401, 401, 401, 429]
    for another in ("192.0.2.2:4001", "::ffff:192.0.2.3", "[2001:db8:0:1::1]:4001"):
        assert failing(another) == 401


def test_behind_a_proxy_the_callers_address_counts(url: sa.URL, store: SqlStore) -> None:
    client = limited(url, store, RateSettings(failed_sign_ins=1, proxies=1))

    def failing(forwarded_for: str) -> int:
        return client.get(FLAGS, headers={"X-Forwarded-For": forwarded_for}).status_code

    assert [failing("198.51.100.1"), failing("198.51.100.2"), failing("198.51.100.1")] == [401, 401, 429]
    assert failing("203.0.113.9, 198.51.100.2") == 429


def test_without_a_proxy_nobody_chooses_an_address(client: FlaskClient) -> None:
    statuses = [client.get(FLAGS, headers={"X-Forwarded-For": f"198.51.100.{n}"}).status_code for n in range(4)]

    assert statuses == [401, 401, 401, 429]


def test_while_the_shared_storage_is_away_each_process_counts_for_itself(
    url: sa.URL, store: SqlStore, bearer: Callable[[str], Authorized]
) -> None:
    client = limited(url, store, RateSettings(storage="redis://127.0.0.1:1", writes=2))

    statuses = [client.post(FLAGS, json={"key": f"f{n}"}, headers=bearer("ada")).status_code for n in range(3)]

    assert statuses == [201, 201, 429]


@pytest.mark.extra
def test_processes_that_share_a_redis_count_together(
    url: sa.URL, store: SqlStore, bearer: Callable[[str], Authorized], tmp_path: Path
) -> None:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with started(command, tmp_path / "redis.log", dict(os.environ)) as redis:
        redis.wait_for_log("Ready to accept connections")
        rates = RateSettings(storage=f"redis://127.0.0.1:{port}", writes=3)
        clients = [limited(url, store, rates), limited(url, store, rates)]

        statuses = [
            clients[n % 2].post(FLAGS, json={"key": f"f{n}"}, headers=bearer("ada")).status_code for n in range(5)
        ]

    assert statuses == [201, 201, 201, 429, 429]
