"""Idempotency-Key, as clients see it: a request has effect once, however often it is sent."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from tests.builders import ManualClock, after
from tests.rows import all_schedules, count

FLAGS = "/api/admin/flags"
FLAG = f"{FLAGS}/new-checkout"
SCHEDULE = f"{FLAG}/schedule"
BULK = f"{SCHEDULE}/bulk"
KEY = {"Idempotency-Key": "a-key"}


@pytest.fixture(autouse=True)
def _a_flag(admin: FlaskClient) -> None:
    assert admin.post(FLAGS, json={"key": "new-checkout"}).status_code == 201


def item(seconds: float, **updates: Any) -> dict[str, Any]:
    return {"scheduledAt": after(seconds).isoformat(), "updates": updates or {"enabled": True}}


CREATING = [
    (FLAGS, {"key": "another", "description": "é \u2028"}, "feature_flags"),
    (SCHEDULE, item(60), "feature_flag_schedules"),
    (BULK, {"schedules": [item(60), item(70)]}, "feature_flag_schedules"),
    (f"{FLAG}/users", {"userId": "eve", "override": "include"}, "feature_flag_overrides"),
]


@pytest.mark.parametrize(("path", "body", "table"), CREATING, ids=["flag", "single", "bulk", "user"])
def test_a_repeated_request_is_answered_as_before_and_has_no_other_effect(
    admin: FlaskClient, engine: sa.Engine, clock: ManualClock, path: str, body: object, table: str
) -> None:
    first = admin.post(path, json=body, headers=KEY)
    rows = [count(engine, table), count(engine, "feature_flag_history")]
    clock.advance(hours=23)

    again = admin.post(path, json=body, headers=KEY)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.data == first.data
    stored = ("Location", "ETag", "Content-Type")
    assert [again.headers.get(name) for name in stored] == [first.headers.get(name) for name in stored]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert [count(engine, table), count(engine, "feature_flag_history")] == rows


@pytest.mark.parametrize(("path", "body", "table"), CREATING, ids=["flag", "single", "bulk", "user"])
def test_the_answer_with_a_key_is_the_answer_without(
    admin: FlaskClient, path: str, body: dict[str, Any], table: str
) -> None:
    del table
    with_key = admin.post(path, json=body, headers=KEY)
    without = admin.post(path, json=body | ({"key": "third"} if "key" in body else {}))

    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: shape(below) for name, below in value.items()}
        return [shape(one) for one in value] if isinstance(value, list) else type(value)

    assert shape(with_key.json) == shape(without.json)
    assert set(with_key.headers.keys()) == set(without.headers.keys())


def test_a_key_that_was_used_for_something_else_is_refused(admin: FlaskClient, engine: sa.Engine) -> None:
    body = {"schedules": [item(60)]}
    admin.post(BULK, json=body, headers=KEY)
    admin.post(f"{FLAGS}?environment=staging", json={"key": "new-checkout"})

    others = [
        admin.post(BULK, json={"schedules": [item(61)]}, headers=KEY),
        admin.post(f"{BULK}?environment=production", json=body, headers=KEY),
        admin.post(f"{BULK}?environment=staging", json=body, headers=KEY),
        admin.post(SCHEDULE, json=item(60), headers=KEY),
        admin.post(FLAGS, json={"key": "another"}, headers=KEY),
    ]

    assert {(one.status_code, one.json["error"]) for one in others} == {(422, "IDEMPOTENCY_KEY_REUSED")}
    assert count(engine, "feature_flag_schedules") == 1


def test_a_key_belongs_to_its_principal(admin: FlaskClient, app: Flask, token: Callable[..., str]) -> None:
    bob = app.test_client()
    bob.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token(subject='bob')}"

    answers = [client.post(SCHEDULE, json=item(60), headers=KEY) for client in (admin, bob, admin, bob)]

    assert [one.json["createdBy"] for one in answers] == ["ada", "bob", "ada", "bob"]
    assert len({one.json["id"] for one in answers}) == 2


def test_what_was_refused_is_not_kept(admin: FlaskClient) -> None:
    body = {"key": "late"}
    for _ in range(2):
        assert admin.post(f"{FLAGS}/late/schedule", json=item(60), headers=KEY).status_code == 404
    admin.post(FLAGS, json=body)

    created = admin.post(f"{FLAGS}/late/schedule", json=item(60), headers=KEY)

    assert created.status_code == 201
    assert admin.post(f"{FLAGS}/late/schedule", json=item(60), headers=KEY).data == created.data


def test_a_repeated_request_is_answered_after_its_own_time_has_passed(
    admin: FlaskClient, clock: ManualClock, engine: sa.Engine
) -> None:
    body = {"schedules": [item(60), item(70)]}
    first = admin.post(BULK, json=body, headers=KEY)
    clock.advance(minutes=5)
    assert admin.get(FLAG).json["enabled"]
    assert admin.post(BULK, json=body).status_code == 400

    again = admin.post(BULK, json=body, headers=KEY)

    assert (again.status_code, again.data) == (201, first.data)
    assert len(all_schedules(engine)) == 2


def test_a_repeated_request_is_answered_though_its_flag_is_archived(admin: FlaskClient) -> None:
    first = admin.post(SCHEDULE, json=item(60), headers=KEY)
    admin.delete(FLAG)

    assert admin.post(SCHEDULE, json=item(60), headers=KEY).data == first.data


def test_a_key_is_free_again_after_a_day(admin: FlaskClient, clock: ManualClock, engine: sa.Engine) -> None:
    for seconds in (60, 61, 62):
        admin.post(SCHEDULE, json=item(seconds), headers={"Idempotency-Key": f"key-{seconds}"})
    clock.advance(hours=24)

    later = item(timedelta(hours=25).total_seconds())
    answer = admin.post(SCHEDULE, json=later, headers={"Idempotency-Key": "key-60"})

    assert (answer.status_code, "Idempotency-Replayed" in answer.headers) == (201, False)
    assert count(engine, "feature_flag_idempotency") == 1


def test_a_refused_request_leaves_no_key_behind(admin: FlaskClient, engine: sa.Engine) -> None:
    assert admin.post(SCHEDULE, json=item(-60), headers=KEY).status_code == 400

    assert count(engine, "feature_flag_idempotency") == 0


def test_fifty_equal_requests_at_once_have_one_effect(app: Flask, token: Callable[..., str], engine: sa.Engine) -> None:
    headers = KEY | {"Authorization": f"Bearer {token()}"}
    body = {"schedules": [item(60 + n) for n in range(5)]}

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: app.test_client().post(BULK, json=body, headers=headers), range(50)))

    assert {one.status_code for one in answers} == {201}
    assert len({one.data for one in answers}) == 1
    assert sum("Idempotency-Replayed" not in one.headers for one in answers) == 1
    assert len(all_schedules(engine)) == 5
