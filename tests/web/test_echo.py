"""Errors and the log quote at most 200 characters of what a caller sends."""

import base64
import json
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from flagsched.web.access import EvaluationRules
from tests.builders import after

# No two runs of it are equal.
LONG = "v" + "".join(f"{n:05d}" for n in range(1000))
RUNS = [LONG[i : i + 201] for i in range(len(LONG) - 200)]
# Each run has one of these whole in it.
BLOCKS = [LONG[i : i + 100] for i in range(0, len(LONG) - 100, 100)]
FLAGS = "/api/admin/flags"
FLAG = f"{FLAGS}/new-checkout"
OFREP = "/ofrep/v1/evaluate/flags"
PARAMETERS = [
    "environment", "q", "cursor", "limit", "status", "batchId", "from", "to", "actor", "action", "flagKey", LONG
]  # fmt: skip
HEADERS = [
    "Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "X-Request-Id", "Content-Type", "Content-Encoding",
    "Accept", "Origin", "X-API-Key", "X-Forwarded-For", "X-Forwarded-Host", "Referer", "Cookie", "traceparent", LONG,
]  # fmt: skip
STEP: dict[str, Any] = {"scheduledAt": after(60).isoformat(), "updates": {"enabled": True}}
HOLD: dict[str, Any] = {"reason": "", "then": "skip", "refuseEdits": False}
BODIES: dict[str, dict[str, Any]] = {
    FLAGS: {"key": "other", "environment": "staging", "enabled": True, "rolloutPercentage": 1, "description": ""},
    FLAG: {"enabled": True, "rolloutPercentage": 1, "description": ""},
    f"{FLAG}/schedule": STEP,
    f"{FLAG}/schedule/bulk": {"schedules": [STEP, STEP]},
    f"{FLAG}/schedule/preview": {"schedules": [STEP]},
    f"{FLAG}/holds": HOLD | {"updates": {"enabled": False, "rolloutPercentage": 1}},
    "/api/admin/environments/production/holds": HOLD | {"from": after(60).isoformat(), "until": after(90).isoformat()},
    f"{FLAG}/users": {"userId": "eve", "override": "include", "reason": ""},
    OFREP: {"context": {"targetingKey": "eve", "environment": "production"}},
    f"{OFREP}/new-checkout": {"context": {"targetingKey": "eve", "environment": "production"}},
}


class Sent(NamedTuple):
    """A request with the long value in one place."""

    method: str
    path: str
    query: dict[str, Any] = {}
    body: Any = None
    headers: dict[str, str] = {}


def filled(value: Any) -> Iterator[Any]:
    """The value with the long one in each of its places, as a name, and as many names."""
    yield LONG
    if isinstance(value, dict):
        for name, below in value.items():
            yield from (value | {name: one} for one in filled(below))
        yield value | {LONG: 1}
        yield value | {f"{n}{LONG}": LONG for n in range(90)}
        yield {LONG: {LONG: [LONG]}}
    if isinstance(value, list):
        yield from ([*value, one] for one in filled(value[0]))


def everywhere(app: Flask) -> Iterator[Sent]:
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/console"):  # A page shows a form with all that was typed.
            yield from of_route(rule)
    for path, body in BODIES.items():
        for method in ("POST", "PATCH"):
            yield from (Sent(method, path, body=one) for one in filled(body))
            yield from (Sent(method, path, body=raw.encode()) for raw in RAW)
    for path in (f"/{LONG}", f"//{LONG}", f"/api/admin/{LONG}", f"/ofrep/{LONG}", f"/docs/{LONG}"):
        yield from (Sent(method, path) for method in ("GET", "POST", "DELETE", "OPTIONS"))
    for path, place in product(PAGED, PLACES):
        yield Sent("GET", path, {"cursor": base64.urlsafe_b64encode(json.dumps(place).encode()).decode()})
    yield Sent(LONG, FLAGS)


def of_route(rule: Rule) -> Iterator[Sent]:
    places = {
        "flag_key": "new-checkout",
        "schedule_id": "0" * 32,
        "plan_id": "0" * 32,
        "hold_id": "0" * 32,
        "environment": "production",
        "plan_name": "launch",
        "user_id": "eve",
        "key": "new-checkout",
        "path": "x",
    }
    methods = sorted(rule.methods or set())
    for argument in rule.arguments & places.keys():
        _, path = rule.build({**places, "name": "x", argument: LONG}, append_unknown=False) or ("", "")
        yield from (Sent(method, path, body=BODIES.get(FLAG)) for method in methods)
    _, path = rule.build({**places, "name": "x"}, append_unknown=False) or ("", "")
    for method, name in product(methods, PARAMETERS):
        yield Sent(method, path, {name: LONG}, BODIES.get(path))
        yield Sent(method, path, {name: ["x", LONG]}, BODIES.get(path))
    yield from (Sent(method, path, {}, BODIES.get(path), {name: LONG}) for method, name in product(methods, HEADERS))


PAGED = [
    FLAGS,
    "/api/admin/plans",
    "/api/admin/holds",
    f"{FLAG}/schedule",
    "/api/admin/schedules",
    "/api/admin/history",
    f"{FLAG}/users",
]
PLACES: list[Any] = [[LONG], [after(0).isoformat(), LONG], [LONG, 1], LONG]
RAW = [
    LONG,
    f'"{LONG}',
    f'{{"{LONG}": 1, "{LONG}": 2}}',
    f'{{"key": {LONG[1:]}}}',
    f'{{"key": {LONG[1:]}e{LONG[1:]}}}',
    f"[{LONG}",
]


def send(client: FlaskClient, sent: Sent) -> TestResponse:
    raw = (
        sent.body if isinstance(sent.body, bytes) else json.dumps(sent.body).encode() if sent.body is not None else None
    )
    headers = {"Content-Type": "application/json"} | sent.headers
    return client.open(
        "/x", method=sent.method, query_string=sent.query, data=raw, headers=headers,
        environ_overrides={"PATH_INFO": sent.path},
    )  # fmt: skip


def echoed(text: str) -> bool:
    # The log has methods in capitals.
    text = text.replace(LONG[:6].upper(), LONG[:6])
    return any(block in text for block in BLOCKS) and any(run in text for run in RUNS)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_no_error_tells_back_more_than_200_characters(
    app_with: Callable[[EvaluationRules], Flask], token: Callable[..., str], logged: list[str]
) -> None:
    app = app_with(EvaluationRules(origins=frozenset({"*"})))
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token()}"
    client.post(FLAGS, json={"key": "new-checkout"})
    count, began = 0, len(logged)
    for sent in everywhere(app):
        answer = send(client, sent)

        count += 1
        where = (sent.method[:20], sent.path[:60], str(sent.query)[:60], str(sent.body)[:60], str(sent.headers)[:60])
        assert answer.status_code < 500, where
        assert not echoed(answer.text + str(answer.headers)), (where, answer.text[:900])
        assert len(answer.data) < 20_000 or sent.path in {"/openapi.json", "/docs"} or "docs" in sent.path, where
    assert count > 1000
    assert [line[:300] for line in logged[began:] if echoed(line)] == []


def test_a_long_key_and_a_long_user_are_quoted_in_part(admin: FlaskClient) -> None:
    longest = LONG[:255]
    headers = {"Idempotency-Key": longest}
    admin.post(FLAGS, json={"key": "new-checkout"}, headers=headers)

    reused = admin.post(FLAGS, json={"key": "other"}, headers=headers)
    missing = admin.get(f"{FLAG}/users/{longest}")

    assert reused.json["error"] == "IDEMPOTENCY_KEY_REUSED"
    assert reused.json["message"].endswith("was used for another method, path, query or body")
    assert missing.json["error"] == "OVERRIDE_NOT_FOUND"
    assert not echoed(reused.text + missing.text)


def test_what_is_stored_is_told_in_full(admin: FlaskClient) -> None:
    admin.post(FLAGS, json={"key": "new-checkout", "description": LONG[:1000]})

    assert admin.get(FLAG).json["description"] == LONG[:1000]
    assert admin.get(FLAGS).json["flags"][0]["description"] == LONG[:1000]


def test_of_many_unknown_names_the_first_are_told(admin: FlaskClient) -> None:
    refused = admin.post(FLAGS, json={f"name-{n}": 1 for n in range(90)})

    details = refused.json["details"]
    assert details["…"] == ["and 71 more names"]
    assert len(details) == 21
    assert details["key"] == ["is required"]
    assert sum(name.startswith("name-") for name in details) == 19
