"""The answers to callers without access, and the log lines about them. On every database."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from time import time
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from flagsched.bootstrap.web import create_app
from flagsched.config.settings import RateSettings
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import Forbidden, Unauthenticated
from flagsched.web.access import Access, EvaluationRules
from flagsched.web.errors import headers_of
from tests.services import web_settings
from tests.tokens import signed

ADMIN = "/api/admin/flags"
CONFIG = "/api/config/flags"
OFREP = "/ofrep/v1/evaluate/flags"
REALM = 'Bearer realm="flagsched"'
KEY = "a-key-for-the-checkout-service"
# Source: RFC 6750, section 3.
CHALLENGE = re.compile(
    r'Bearer realm="flagsched"(, error="[a-z_]+", error_description="[\x20-\x21\x23-\x5b\x5d-\x7e]+")?'
)


@pytest.fixture
def lines(logged: list[str]) -> Callable[[], list[dict[str, Any]]]:
    """The refusals that this test has logged so far."""
    before = len(logged)
    return lambda: [one for one in map(json.loads, logged[before:]) if one["event"] == "request refused"]


Lines = Callable[[], list[dict[str, Any]]]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


REFUSED: dict[str, tuple[Callable[[], str], str | None]] = {
    "nothing": (lambda: "", None),
    "another scheme": (lambda: "Basic YWRhOnNlY3JldA==", None),
    "no token": (lambda: "Bearer", "not a JWT"),
    "no JWT": (lambda: "Bearer opaque", "not a JWT"),
    "garbage": (lambda: "Bearer a.b.c", "not a JWT"),
    "two": (lambda: f"Bearer {signed()} {signed()}", "not a JWT"),
    "a bad signature": (lambda: f"Bearer {signed('another-key-0123456789-abcdefghijklmnop')}", "bad signature"),
    "expired": (lambda: f"Bearer {signed(exp=int(time()) - 60)}", "expired"),
    "too early": (lambda: f"Bearer {signed(nbf=int(time()) + 60)}", "not yet valid"),
    "no sub": (lambda: f"Bearer {signed(sub=None)}", "no sub"),
    "no exp": (lambda: f"Bearer {signed(exp=None)}", "no exp"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_401_says_why(anyone: FlaskClient, name: str) -> None:
    authorization, problem = REFUSED[name]

    answer = anyone.get(ADMIN, headers={"Authorization": authorization()} if authorization() else {})

    described = "" if problem is None else f', error="invalid_token", error_description="{problem}"'
    needed = "a valid token is needed: Authorization: Bearer <JWT>"
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, REALM + described)
    assert answer.json["message"] == (needed if problem is None else f"the token is not valid: {problem}")


def test_the_scheme_may_be_written_in_small_letters(anyone: FlaskClient) -> None:
    assert anyone.get(ADMIN, headers={"Authorization": f"bearer {signed()}"}).status_code == 200
    assert anyone.get(ADMIN, headers={"Authorization": f"Bearer  {signed()}"}).status_code == 200


@pytest.mark.parametrize("name", REFUSED)
def test_no_part_of_a_token_stands_in_an_answer_or_in_the_log(
    anyone: FlaskClient, logged: list[str], name: str
) -> None:
    token = REFUSED[name][0]().removeprefix("Bearer ")
    before = len(logged)

    answer = anyone.get(ADMIN, headers=bearer(token))

    parts = [part for part in re.split(r"[ .]", token) if len(part) > 8]
    written = answer.text + str(answer.headers) + "".join(logged[before:])
    assert [part for part in parts if part in written] == []


def test_a_403_says_which_role_is_needed(anyone: FlaskClient) -> None:
    answer = anyone.post(ADMIN, json={}, headers=bearer(signed(role="reader")))

    why = "this needs a token with the role 'admin' in its claim 'role'"
    assert (answer.status_code, answer.json["message"]) == (403, why)
    assert answer.headers["WWW-Authenticate"] == f'{REALM}, error="insufficient_scope", error_description="{why}"'


@pytest.mark.parametrize(
    ("access", "headers", "problem"),
    [
        (Access.JWT, {}, None),
        (Access.JWT, bearer("x"), "not a JWT"),
        (Access.JWT, bearer(KEY), "not a JWT"),
        (Access.KEY, {}, None),
        (Access.KEY, {"X-API-Key": ""}, None),
        (Access.KEY, {"Authorization": "Basic x"}, None),
        (Access.KEY, {"X-API-Key": f"{KEY}x"}, "unknown API key"),
        (Access.KEY, bearer(f"{KEY}x"), "unknown API key"),
    ],
)
def test_applications_are_told_why_as_well(
    app_with: Callable[[EvaluationRules], Flask], access: Access, headers: dict[str, str], problem: str | None
) -> None:
    client = app_with(EvaluationRules(access, frozenset({KEY}))).test_client()

    ofrep = client.post(OFREP, json={"context": {}}, headers=headers)
    config = client.get(CONFIG, headers=headers)

    described = "" if problem is None else f', error="invalid_token", error_description="{problem}"'
    assert (ofrep.status_code, ofrep.data) == (401, b"")
    assert [one.headers["WWW-Authenticate"] for one in (ofrep, config)] == [REALM + described] * 2
    assert KEY not in config.text


@pytest.mark.parametrize("why", ['a "word"', "back\\slash", "line\r\nX-Injected: 1", "é \u2028", "\x00", "x" * 500])
def test_whatever_a_host_says_its_header_is_one(why: str) -> None:
    for error in (Forbidden(why), Unauthenticated("no", why), Unauthenticated(why)):
        assert CHALLENGE.fullmatch(headers_of(error)["WWW-Authenticate"])


def test_each_refusal_is_logged_with_the_callers_address(
    app: Flask, token: Callable[..., str], admin: FlaskClient, lines: Lines
) -> None:
    client = app.test_client()
    here = {"REMOTE_ADDR": "192.0.2.7"}

    client.get(ADMIN, environ_base=here)
    client.get(ADMIN, headers=bearer(token(role="reader")), environ_base=here)
    client.get(CONFIG, headers=bearer("x"), environ_base=here)
    admin.post(ADMIN, json={}, environ_overrides=here)

    written = [(line["error"], line["address"], line["level"]) for line in lines()]
    assert written == [
        ("UNAUTHORIZED", "192.0.2.7", "info"),
        ("FORBIDDEN", "192.0.2.7", "info"),
        ("UNAUTHORIZED", "192.0.2.7", "info"),
        ("Validation failed", "192.0.2.7", "info"),
    ]


def test_refusals_of_ofrep_are_logged_with_the_callers_address(
    app_with: Callable[[EvaluationRules], Flask], lines: Lines
) -> None:
    client = app_with(EvaluationRules(Access.KEY, frozenset({KEY}))).test_client()
    here = {"REMOTE_ADDR": "192.0.2.7"}

    answers = [client.post(OFREP, json={}, headers={"X-API-Key": "guess"}, environ_base=here) for _ in range(4)]

    assert [(line["error"], line["address"]) for line in lines()] == [
        *[("UNAUTHORIZED", "192.0.2.7")] * 3,
        ("RATE_LIMITED", "192.0.2.7"),
    ]
    assert [line["request_id"] for line in lines()] == [answer.headers["X-Request-Id"] for answer in answers]


def test_behind_a_proxy_the_log_has_the_callers_address(url: sa.URL, store: SqlStore, lines: Lines) -> None:
    settings = replace(web_settings(url), rates=RateSettings(proxies=1, failed_sign_ins=1))
    client = create_app(settings, store=store).test_client()

    for _ in range(2):
        client.get(ADMIN, headers={"X-Forwarded-For": "203.0.113.9, 198.51.100.1"})
    client.get(ADMIN, headers={"X-Forwarded-For": "x" * 5000})

    assert [(line["error"], line["address"]) for line in lines()] == [
        ("UNAUTHORIZED", "198.51.100.1"),
        ("RATE_LIMITED", "198.51.100.1"),
        ("UNAUTHORIZED", "x" * 100),
    ]
