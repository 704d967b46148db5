"""/api/admin/flags and /api/config, as clients see them."""

import json
from typing import Any
from urllib.parse import urljoin

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from tests.builders import ManualClock
from tests.rows import count

FLAGS = "/api/admin/flags"
FLAG = f"{FLAGS}/new-checkout"


@pytest.fixture
def flag(admin: FlaskClient) -> dict[str, Any]:
    answer = admin.post(FLAGS, json={"key": "new-checkout", "rolloutPercentage": 0})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json
    return body


def test_a_flag_is_created_with_defaults(admin: FlaskClient) -> None:
    answer = admin.post(FLAGS, json={"key": "new-checkout"})

    assert answer.status_code == 201
    assert answer.headers["Location"] == "flags/new-checkout?environment=production"
    assert answer.json == {
        "key": "new-checkout",
        "environment": "production",
        "enabled": False,
        "rolloutPercentage": 100,
        "description": "",
        "version": 1,
        "nextChangeAt": None,
        "materialized": True,
        "holds": [],
        "createdAt": "2096-06-01T12:00:00Z",
        "updatedAt": "2096-06-01T12:00:00Z",
    }
    assert admin.get(urljoin(FLAGS, answer.headers["Location"])).json == answer.json


PREFIXES = ["", "/flags", "/flags/staging"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "a-key"}], ids=["once", "repeated"])
def test_the_location_of_a_flag_is_right_below_a_prefix_that_a_proxy_strips(
    admin: FlaskClient, prefix: str, headers: dict[str, str]
) -> None:
    url = f"https://proxy.example{prefix}{FLAGS}?environment=staging"
    for _ in range(2 if headers else 1):
        answer = admin.post(f"{FLAGS}?environment=staging", json={"key": "a.b_c-d"}, headers=headers)
    assert answer.status_code == 201

    location = urljoin(url, answer.headers["Location"])

    assert location == f"https://proxy.example{prefix}{FLAGS}/a.b_c-d?environment=staging"
    assert admin.get(location.removeprefix(f"https://proxy.example{prefix}")).json == answer.json


@pytest.mark.parametrize(
    ("query", "body", "environment"),
    [
        ("", {}, "production"),
        ("?environment=staging", {}, "staging"),
        ("", {"environment": "staging"}, "staging"),
        ("?environment=staging", {"environment": "staging"}, "staging"),
    ],
)
def test_the_environment_stands_in_the_body_or_the_query(
    admin: FlaskClient, query: str, body: dict[str, str], environment: str
) -> None:
    answer = admin.post(FLAGS + query, json={"key": "new-checkout"} | body)

    assert answer.json["environment"] == environment
    assert admin.get(f"{FLAG}?environment={environment}").status_code == 200


def test_two_environments_that_differ_are_refused(admin: FlaskClient, engine: sa.Engine) -> None:
    answer = admin.post(f"{FLAGS}?environment=staging", json={"key": "x", "environment": "production"})

    assert answer.status_code == 400
    assert answer.json["details"] == {"environment": ["is 'production' in the body, but 'staging' in the query"]}
    assert count(engine, "feature_flags") == 0


def test_a_key_that_is_taken_is_a_conflict(admin: FlaskClient, flag: dict[str, Any]) -> None:
    answer = admin.post(FLAGS, json={"key": flag["key"]})

    assert answer.status_code == 409
    assert answer.json["error"] == "FLAG_EXISTS"
    assert answer.json["message"] == "flag 'new-checkout' already exists in 'production'"


REFUSED_FLAGS: list[tuple[Any, dict[str, Any] | list[str]]] = [
    ({}, {"key": ["is required"]}),
    (
        {"key": "-x"},
        {"key": ["must be 1 to 100 letters, digits, '.', '_', '-', beginning with a letter or digit"]},
    ),
    ({"key": "a", "enabled": "true"}, {"enabled": ["must be true or false"]}),
    ({"key": "a", "enabled": 1}, {"enabled": ["must be true or false"]}),
    ({"key": "a", "enabled": None}, {"enabled": ["must not be null"]}),
    ({"key": "a", "rolloutPercentage": True}, {"rolloutPercentage": ["must be an integer from 0 to 100"]}),
    ({"key": "a", "rolloutPercentage": 25.0}, {"rolloutPercentage": ["must be an integer from 0 to 100"]}),
    ({"key": "a", "rolloutPercentage": 101}, {"rolloutPercentage": ["must be an integer from 0 to 100"]}),
    ({"key": "a", "description": "x" * 1001}, {"description": ["must have at most 1000 characters"]}),
    ({"key": "a", "description": "\x00"}, {"description": ["must have no NUL and no lone surrogates"]}),
    ({"key": "a", "color": "red"}, {"color": ["is not a field of this object"]}),
    ([], ["must be a JSON object"]),
    ("flag", ["must be a JSON object"]),
    (None, ["must be a JSON object"]),
]


@pytest.mark.parametrize(("body", "details"), REFUSED_FLAGS, ids=[str(body)[:50] for body, _ in REFUSED_FLAGS])
def test_a_flag_that_is_not_well_formed_is_refused_with_what_and_why(
    admin: FlaskClient, engine: sa.Engine, body: Any, details: Any
) -> None:
    answer = admin.post(FLAGS, data=json.dumps(body), content_type="application/json")

    assert answer.status_code == 400
    assert answer.json["error"] == "Validation failed"
    assert answer.json["details"] == details
    assert answer.json["requestId"] == answer.headers["X-Request-Id"]
    assert count(engine, "feature_flags") == 0


@pytest.mark.parametrize("method", ["patch", "post"])
def test_an_edit_sets_what_it_names(admin: FlaskClient, flag: dict[str, Any], method: str) -> None:
    answer = admin.open(FLAG, method=method, json={"enabled": True})

    assert answer.status_code == 200
    assert answer.json == flag | {"enabled": True, "version": 2}


def test_an_empty_edit_is_refused(admin: FlaskClient, flag: dict[str, Any]) -> None:
    answer = admin.patch(FLAG, json={})

    assert answer.status_code == 400
    assert answer.json["details"] == ["must set enabled, rolloutPercentage or description"]
    assert admin.get(FLAG).json == flag


def test_an_archived_flag_is_gone(admin: FlaskClient, flag: dict[str, Any]) -> None:
    answer = admin.delete(FLAG)

    assert (answer.status_code, answer.data) == (204, b"")
    assert "Content-Type" not in answer.headers
    missing = admin.get(FLAG)
    assert missing.status_code == 404
    assert missing.json["error"] == "FLAG_NOT_FOUND"
    assert missing.json["message"] == f"flag '{flag['key']}' does not exist in 'production'"


def test_flags_are_listed_page_by_page(admin: FlaskClient) -> None:
    for key in "dacb":
        admin.post(FLAGS, json={"key": key})

    first = admin.get(f"{FLAGS}?limit=3").json
    rest = admin.get(f"{FLAGS}?limit=3&cursor={first['nextCursor']}").json

    assert [flag["key"] for flag in first["flags"]] == ["a", "b", "c"]
    assert [flag["key"] for flag in rest["flags"]] == ["d"]
    assert rest["nextCursor"] is None


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=abc", "limit=-1", "limit=%D9%A1", "limit=1&limit=2", "cursor=x", "cursor=WyIAIl0=",
     "cursor=WzFd", "environment=A", "environment=", "page=2", "q=%00"],
)  # fmt: skip
def test_a_query_that_is_not_well_formed_is_refused(admin: FlaskClient, query: str) -> None:
    answer = admin.get(f"{FLAGS}?{query}")

    assert answer.status_code == 400
    assert list(answer.json["details"]) == [query.split("=", maxsplit=1)[0]]


@pytest.mark.parametrize("key", ["none", "%00", "a%20b", "x" * 300, "%F0%9F%9A%80"])
def test_a_flag_that_does_not_exist_is_not_found(admin: FlaskClient, key: str) -> None:
    for answer in (
        admin.get(f"{FLAGS}/{key}"),
        admin.delete(f"{FLAGS}/{key}"),
        admin.patch(f"{FLAGS}/{key}", json={"enabled": True}),
    ):
        assert answer.status_code == 404
        assert answer.json["error"] == "FLAG_NOT_FOUND"


def test_applications_ask_without_a_token_and_see_the_plan_come_about(
    admin: FlaskClient, anyone: FlaskClient, flag: dict[str, Any], clock: ManualClock
) -> None:
    for second, updates in ((1, {"enabled": True, "rolloutPercentage": 25}), (2, {"rolloutPercentage": 100})):
        admin.post(f"{FLAG}/schedule", json={"scheduledAt": f"2096-06-01T12:00:0{second}Z", "updates": updates})

    def effective() -> tuple[Any, Any]:
        return anyone.get("/api/config/flags").json, anyone.get("/api/config/flags/new-checkout").json

    expected = {"key": flag["key"], "enabled": False, "rolloutPercentage": 0, "value": False}
    assert effective() == ({"new-checkout": False}, expected)
    clock.advance(seconds=1)
    expected |= {"enabled": True, "rolloutPercentage": 25}
    assert effective() == ({"new-checkout": False}, expected)
    clock.advance(seconds=1)
    expected |= {"rolloutPercentage": 100, "value": True}
    assert effective() == ({"new-checkout": True}, expected)


def test_applications_ask_in_their_environment(admin: FlaskClient, anyone: FlaskClient, flag: dict[str, Any]) -> None:
    admin.post(f"{FLAGS}?environment=staging", json={"key": "other", "enabled": True})

    assert anyone.get("/api/config/flags?environment=staging").json == {"other": True}
    assert anyone.get(f"/api/config/flags/{flag['key']}?environment=staging").status_code == 404
    assert anyone.get("/api/config/flags?environment=nowhere").json == {}
