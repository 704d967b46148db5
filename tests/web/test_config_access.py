"""Who may ask /api/config, and who the user is then. On every database."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from flagsched.web.access import Access, EvaluationRules
from tests.tokens import signed

FLAGS = "/api/config/flags"
OFREP = "/ofrep/v1/evaluate/flags"
PATHS = [FLAGS, f"{FLAGS}/half"]
KEY, OTHER = "a-key-for-the-checkout-service", "another-key-of-ours"
BY_KEY = EvaluationRules(Access.KEY, frozenset({KEY, OTHER}))
BY_TOKEN = EvaluationRules(Access.JWT)
BAD_TOKEN = {"Authorization": "Bearer x"}
MakeApp = Callable[[EvaluationRules], Flask]


@pytest.fixture(autouse=True)
def _a_flag_for_ada(admin: FlaskClient) -> None:
    body = {"key": "half", "enabled": True, "rolloutPercentage": 0}
    assert admin.post("/api/admin/flags", json=body).status_code == 201
    assert admin.post("/api/admin/flags/half/users", json={"userId": "ada", "override": "include"}).status_code == 201


def token_of(subject: str, role: str = "reader") -> dict[str, str]:
    return {"Authorization": f"Bearer {signed(sub=subject, role=role)}"}


def value(client: FlaskClient, headers: dict[str, str]) -> bool | int:
    """What the flag is for the caller, by both routes; or the status of both."""
    every, one = (client.get(path, headers=headers) for path in PATHS)
    assert every.status_code == one.status_code
    if every.status_code != 200:
        return int(every.status_code)
    assert every.json["half"] == one.json["value"]
    return bool(one.json["value"])


NOBODY, ADA = False, True
GIVEN_KEY: dict[str, tuple[dict[str, str], bool | int]] = {
    "nothing": ({}, 401),
    "a key": ({"X-API-Key": KEY}, NOBODY),
    "the other key": ({"X-API-Key": OTHER}, NOBODY),
    "a key as a bearer": ({"Authorization": f"Bearer {KEY}"}, NOBODY),
    "a key and a user": ({"X-API-Key": KEY} | token_of("ada"), ADA),
    "a key and another user": ({"X-API-Key": KEY} | token_of("bob"), NOBODY),
    "a key twice": ({"X-API-Key": KEY, "Authorization": f"Bearer {OTHER}"}, NOBODY),
    "a key and a bad token": ({"X-API-Key": KEY} | BAD_TOKEN, 401),
    "a key and another scheme": ({"X-API-Key": KEY, "Authorization": "Basic x"}, 401),
    "a wrong key and a user": ({"X-API-Key": f"{KEY}x"} | token_of("ada"), 401),
    "a wrong key and a right one": ({"X-API-Key": f"{KEY}x", "Authorization": f"Bearer {KEY}"}, 401),
    "a user alone": (token_of("ada"), 401),
    "an admin alone": (token_of("ada", "admin"), 401),
    "half a key": ({"X-API-Key": KEY[:-1]}, 401),
}


@pytest.mark.parametrize("name", GIVEN_KEY)
def test_with_keys_a_key_opens_and_a_token_beside_it_says_who_the_user_is(app_with: MakeApp, name: str) -> None:
    headers, expected = GIVEN_KEY[name]

    assert value(app_with(BY_KEY).test_client(), headers) == expected


GIVEN_TOKEN: dict[str, tuple[dict[str, str], bool | int]] = {
    "nothing": ({}, 401),
    "a user": (token_of("ada"), ADA),
    "another user": (token_of("bob"), NOBODY),
    "an admin": (token_of("ada", "admin"), ADA),
    "a bad token": (BAD_TOKEN, 401),
    "a key": ({"X-API-Key": KEY}, 401),
    "a key as a bearer": ({"Authorization": f"Bearer {KEY}"}, 401),
}


@pytest.mark.parametrize("name", GIVEN_TOKEN)
def test_with_tokens_any_valid_token_opens_and_its_subject_is_the_user(app_with: MakeApp, name: str) -> None:
    headers, expected = GIVEN_TOKEN[name]

    assert value(app_with(BY_TOKEN).test_client(), headers) == expected


@pytest.mark.parametrize("rules", [BY_KEY, BY_TOKEN], ids=["key", "jwt"])
def test_what_closes_ofrep_closes_every_way_to_the_same_answers(app_with: MakeApp, rules: EvaluationRules) -> None:
    client = app_with(rules).test_client()
    closed = [client.get(path) for path in (*PATHS, f"{FLAGS}/none", f"{FLAGS}?environment=No%20Such")]

    assert [answer.status_code for answer in closed[:3]] == [401] * 3
    assert client.post(OFREP, json={"context": {}}).status_code == 429  # The fourth and fifth in this minute.
    assert closed[3].status_code == 429
    assert "half" not in "".join(answer.text for answer in closed)


def test_a_known_answer_is_not_told_to_whom_it_is_closed(app_with: MakeApp) -> None:
    client = app_with(BY_KEY).test_client()
    tag = client.get(FLAGS, headers={"X-API-Key": KEY}).headers["ETag"]

    same = client.get(FLAGS, headers={"X-API-Key": KEY, "If-None-Match": tag})
    closed = client.get(FLAGS, headers={"If-None-Match": tag})

    assert (same.status_code, set(same.headers["Vary"].split(", "))) == (304, {"Authorization", "X-API-Key"})
    assert (closed.status_code, "ETag" in closed.headers) == (401, False)


def test_many_wrong_keys_are_told_to_wait_and_right_ones_are_not(app_with: MakeApp) -> None:
    client = app_with(BY_KEY).test_client()

    statuses = [client.get(FLAGS, headers={"X-API-Key": "guess"}).status_code for _ in range(4)]

    assert statuses == [401, 401, 401, 429]
    assert client.get(FLAGS, headers={"X-API-Key": KEY}).status_code == 200
