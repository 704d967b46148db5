"""OFREP's answers, whatever their status: who may read them, who may keep them, and of which environment they are."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flagsched.config.settings import read_web_settings
from flagsched.web.access import Access, EvaluationRules
from tests.builders import SECRET
from tests.ofrep import breach
from tests.web.test_ofrep import ADA, ALL, KEY, ONE

ADMIN = "/api/admin/flags"
PAGE, ELSEWHERE = "https://shop.example", "https://else.example"
EXPOSED = {"ETag", "Retry-After", "WWW-Authenticate", "X-Request-Id", "Flagsched-Snapshot-Age"}
MakeApp = Callable[[EvaluationRules], Flask]


class Exchange(NamedTuple):
    """A request, and the status that it is answered with when it is made for the last time."""

    status: int
    path: str
    method: str = "POST"
    body: str = '{"context": {}}'
    media_type: str = "application/json"
    key: str = KEY
    etag: str = '"x"'
    times: int = 1


EVALUATED = [Exchange(200, ONE), Exchange(200, ALL), Exchange(304, ALL, etag="*")]
REFUSED = [
    Exchange(404, f"{ALL}/nowhere"),
    Exchange(404, "/ofrep/v2"),
    *(Exchange(400, path, body="{") for path in (ONE, ALL)),
    *(Exchange(401, path, key="not-a-key-of-ours") for path in (ONE, ALL)),
    *(Exchange(405, path, "GET") for path in (ONE, ALL)),
    *(Exchange(400, path, media_type="text/plain") for path in (ONE, ALL)),
    *(Exchange(429, path, key="not-a-key-of-ours", times=4) for path in (ONE, ALL)),
]


def named(exchange: Exchange) -> str:
    return f"{exchange.status} {exchange.path.removeprefix('/ofrep/')}"


@pytest.fixture
def client(admin: FlaskClient, app_with: MakeApp) -> FlaskClient:
    """Of an app with a flag, an API key, and an allowed page."""
    create(admin)
    return app_with(EvaluationRules(Access.KEY, frozenset({KEY}), frozenset({PAGE}))).test_client()


def create(admin: FlaskClient, **values: Any) -> None:
    body = {"key": "new-checkout", "enabled": True, "rolloutPercentage": 100} | values
    assert admin.post(ADMIN, json=body).status_code == 201


def send(client: FlaskClient, exchange: Exchange, page: str = PAGE) -> TestResponse:
    headers = {"X-API-Key": exchange.key, "If-None-Match": exchange.etag, "Origin": page}
    for _ in range(exchange.times):
        answer = client.open(
            exchange.path, method=exchange.method, data=exchange.body, content_type=exchange.media_type, headers=headers
        )
    assert answer.status_code == exchange.status
    return answer


@pytest.mark.parametrize("exchange", [*EVALUATED, *REFUSED], ids=named)
def test_allowed_pages_may_read_every_answer_and_others_none(client: FlaskClient, exchange: Exchange) -> None:
    allowed, elsewhere = send(client, exchange), send(client, exchange, ELSEWHERE)

    assert allowed.headers["Access-Control-Allow-Origin"] == PAGE
    assert set(allowed.headers["Access-Control-Expose-Headers"].split(", ")) >= EXPOSED
    assert "Access-Control-Allow-Origin" not in elsewhere.headers
    assert (allowed.headers["Vary"], elsewhere.headers["Vary"]) == ("Origin", "Origin")


def test_a_star_in_the_settings_allows_every_page(app_with: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("DATABASE_URL", "sqlite:///x.db"),
        ("JWT_SECRET_KEY", SECRET),
        ("FLAGSCHED_CORS_ORIGINS", "*"),
    ):
        monkeypatch.setenv(name, value)
    client = app_with(read_web_settings().evaluation).test_client()

    for page in (PAGE, ELSEWHERE, "http://localhost:5173"):
        for answer in (
            client.post(ALL, json=ADA, headers={"Origin": page}),
            client.options(ALL, headers={"Origin": page}),
        ):
            assert answer.headers["Access-Control-Allow-Origin"] == page


@pytest.mark.parametrize("exchange", EVALUATED, ids=named)
def test_what_is_told_may_be_kept_for_a_second(client: FlaskClient, exchange: Exchange) -> None:
    assert send(client, exchange).headers.getlist("Cache-Control") == ["private, max-age=1"]


@pytest.mark.parametrize("exchange", REFUSED, ids=named)
def test_a_refusal_is_never_kept(client: FlaskClient, exchange: Exchange) -> None:
    assert send(client, exchange).headers.getlist("Cache-Control") == ["no-store"]


@pytest.mark.parametrize("path", [ONE, ALL])
def test_the_environment_of_the_address_goes_before_that_of_the_context(
    admin: FlaskClient, anyone: FlaskClient, path: str
) -> None:
    create(admin)
    create(admin, environment="staging", enabled=False)

    production, staging = (anyone.post(f"{path}?environment={name}", json=ADA) for name in ("production", "staging"))
    both = anyone.post(f"{path}?environment=staging", json={"context": {"environment": "production"}})

    assert (production.status_code, staging.status_code, both.status_code) == (200, 200, 200)
    assert both.data == staging.data != production.data


@pytest.mark.parametrize(("method", "path"), [("POST", ALL), ("GET", "/api/config/flags")])
def test_environments_that_are_alike_share_no_tag(
    admin: FlaskClient, anyone: FlaskClient, method: str, path: str
) -> None:
    create(admin)
    create(admin, environment="staging")

    def evaluate(environment: str, etag: str = '"x"') -> TestResponse:
        body, headers = ADA if method == "POST" else None, {"If-None-Match": etag}
        return anyone.open(f"{path}?environment={environment}", method=method, json=body, headers=headers)

    production, staging = evaluate("production"), evaluate("staging")

    assert production.data == staging.data
    assert evaluate("production", production.headers["ETag"]).status_code == 304
    assert evaluate("staging", production.headers["ETag"]).status_code == 200


@pytest.mark.parametrize("path", [ALL, f"{ALL}/{{key}}"])
def test_the_check_of_answers_lets_no_fault_of_ours_pass(path: str) -> None:
    assert breach(path, 500, b'{"errorDetails": "flagsched failed; see its log"}') == "OFREP has no such status"
