"""OFREP: what OpenFeature SDKs ask, on every database. Each answer is held to OFREP's own schemas as well."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flagsched.web.access import Access, EvaluationRules
from tests.builders import ManualClock, after

ONE = "/ofrep/v1/evaluate/flags/new-checkout"
ALL = "/ofrep/v1/evaluate/flags"
FLAG = "/api/admin/flags/new-checkout"
ADA: dict[str, Any] = {"context": {"targetingKey": "ada"}}


@pytest.fixture
def flag(admin: FlaskClient) -> None:
    body = {"key": "new-checkout", "enabled": True, "rolloutPercentage": 100}
    assert admin.post("/api/admin/flags", json=body).status_code == 201


def plan(admin: FlaskClient, seconds: float, **updates: Any) -> None:
    body = {"scheduledAt": after(seconds).isoformat(), "updates": updates}
    assert admin.post(f"{FLAG}/schedule", json=body).status_code == 201


@pytest.mark.usefixtures("flag")
def test_a_flag_is_told_with_reason_variant_and_flat_metadata(admin: FlaskClient, anyone: FlaskClient) -> None:
    plan(admin, 10, rolloutPercentage=0)

    answer = anyone.post(ONE, json=ADA)

    assert answer.status_code == 200
    assert answer.json == {
        "key": "new-checkout",
        "value": True,
        "reason": "STATIC",
        "variant": "on",
        "metadata": {"version": 1, "nextChangeAt": "2096-06-01T12:00:10Z"},
    }
    assert answer.headers["Cache-Control"] == "private, max-age=1"


@pytest.mark.usefixtures("flag")
def test_a_change_is_told_at_its_instant_with_no_worker(
    admin: FlaskClient, anyone: FlaskClient, clock: ManualClock
) -> None:
    plan(admin, 10, enabled=False)
    assert anyone.post(ONE, json=ADA).json["value"] is True

    clock.advance(seconds=9.999)
    before = anyone.post(ONE, json=ADA)
    clock.advance(seconds=0.001)
    at = anyone.post(ONE, json=ADA)

    assert (before.json["value"], before.headers["Cache-Control"]) == (True, "private, max-age=0")
    assert (at.json["value"], at.json["reason"], at.json["metadata"]) == (False, "DISABLED", {"version": 2})


def test_all_flags_of_an_environment_are_told_by_key(admin: FlaskClient, anyone: FlaskClient) -> None:
    for key, percentage in (("b", 100), ("a", 30), ("c", 0)):
        admin.post("/api/admin/flags", json={"key": key, "enabled": True, "rolloutPercentage": percentage})
    admin.post("/api/admin/flags", json={"key": "elsewhere", "environment": "staging"})

    answer = anyone.post(ALL, json=ADA).json["flags"]

    assert [(one["key"], one["reason"]) for one in answer] == [("a", "SPLIT"), ("b", "STATIC"), ("c", "STATIC")]
    assert [one["key"] for one in anyone.post(f"{ALL}?environment=staging", json=ADA).json["flags"]] == ["elsewhere"]
    in_context = {"context": {"targetingKey": "ada", "environment": "staging"}}
    assert [one["key"] for one in anyone.post(ALL, json=in_context).json["flags"]] == ["elsewhere"]


def test_a_percentage_without_a_targeting_key_is_an_error_of_that_flag_alone(
    admin: FlaskClient, anyone: FlaskClient
) -> None:
    admin.post("/api/admin/flags", json={"key": "new-checkout", "enabled": True, "rolloutPercentage": 30})
    admin.post("/api/admin/flags", json={"key": "whole", "enabled": True})

    one = anyone.post(ONE, json={"context": {}})
    answer = anyone.post(ALL, json={"context": {}})

    assert (one.status_code, one.json["errorCode"]) == (400, "TARGETING_KEY_MISSING")
    assert answer.status_code == 200
    assert [f.get("errorCode", f.get("value")) for f in answer.json["flags"]] == ["TARGETING_KEY_MISSING", True]


BAD: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "PARSE_ERROR"),
    "a name twice": ('{"context": {}, "context": {}}', "PARSE_ERROR"),
    "an array": ("[]", "INVALID_CONTEXT"),
    "no context": ("{}", "INVALID_CONTEXT"),
    "a context that is an array": ('{"context": []}', "INVALID_CONTEXT"),
    "a number for a key": ('{"context": {"targetingKey": 7}}', "INVALID_CONTEXT"),
    "null for a key": ('{"context": {"targetingKey": null}}', "INVALID_CONTEXT"),
    "half a character": ('{"context": {"targetingKey": "\\ud800"}}', "INVALID_CONTEXT"),
}


@pytest.mark.usefixtures("flag")
@pytest.mark.parametrize("path", [ONE, ALL])
@pytest.mark.parametrize(("body", "code"), BAD.values(), ids=BAD.keys())
def test_a_body_that_can_not_be_read_is_told_so(anyone: FlaskClient, path: str, body: str, code: str) -> None:
    answer = anyone.post(path, data=body, content_type="application/json")

    assert (answer.status_code, answer.json["errorCode"]) == (400, code)
    assert answer.json.get("key") == ("new-checkout" if path == ONE else None)


@pytest.mark.usefixtures("flag")
@pytest.mark.parametrize("path", [ONE, ALL])
@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", None])
def test_another_media_type_is_a_parse_error(anyone: FlaskClient, path: str, media_type: str | None) -> None:
    answer = anyone.post(path, data='{"context": {}}', content_type=media_type)

    assert (answer.status_code, answer.json["errorCode"]) == (400, "PARSE_ERROR")
    assert answer.json["errorDetails"] == "the body must be sent as Content-Type: application/json"


def names(count: int) -> str:
    return "{" + ", ".join(f'"name{n}": {n}' for n in range(count)) + "}"


OVER_A_LIMIT = {
    "1,001 names": (f'{{"context": {names(1001)}}}', "the body has an object with more than 1000 names"),
    "1,001 names below": (
        f'{{"context": {{"a": {{"b": {names(1001)}}}}}}}',
        "the body has an object with more than 1000 names",
    ),
    "256 KiB": ('{"context": {"x": "' + "y" * 300_000 + '"}}', "the body must have at most 262144 bytes"),
    "a deep value": ('{"context": {"x": ' + "[" * 9000 + "]" * 9000 + "}}", "the body is nested too deep"),
    "a long number": ('{"context": {"x": ' + "9" * 5000 + "}}", "the body has a number of more than 4300 digits"),
    "a huge number": ('{"context": {"x": 1e400}}', "the body has a number that is too large: 1e400"),
}


@pytest.mark.usefixtures("flag")
@pytest.mark.parametrize("path", [ONE, ALL])
@pytest.mark.parametrize(("body", "limit"), OVER_A_LIMIT.values(), ids=OVER_A_LIMIT)
def test_a_context_over_a_limit_is_invalid_and_told_the_limit(
    anyone: FlaskClient, path: str, body: str, limit: str
) -> None:
    answer = anyone.post(path, data=body, content_type="application/json")

    assert (answer.status_code, answer.json["errorCode"]) == (400, "INVALID_CONTEXT")
    assert answer.json["errorDetails"] == limit


@pytest.mark.usefixtures("flag")
@pytest.mark.parametrize("path", [ONE, ALL])
def test_a_context_of_a_thousand_names_is_evaluated(anyone: FlaskClient, path: str) -> None:
    full = f'{{"context": {names(1000)}}}'
    twice = f'{{"context": {names(1000)[:-1]}, "name7": 1}}}}'.replace('"name999": 999, ', "")

    answer = anyone.post(path, data=full, content_type="application/json")
    refused = anyone.post(path, data=twice, content_type="application/json")

    assert answer.status_code == 200
    assert (refused.status_code, refused.json["errorCode"]) == (400, "PARSE_ERROR")
    assert refused.json["errorDetails"] == "the body is not JSON: the name 'name7' appears twice in one object"


NO_NAMES = ["Production EU", "EU", "", "x" * 65, "prod/eu", "\ud800", {"a": 1}, ["staging"], 7, True, None]


@pytest.mark.parametrize("attribute", NO_NAMES, ids=repr)
def test_an_attribute_environment_that_names_none_is_the_applications_own(
    admin: FlaskClient, anyone: FlaskClient, attribute: Any
) -> None:
    for environment, enabled in (("production", True), ("staging", False)):
        admin.post(f"/api/admin/flags?environment={environment}", json={"key": "new-checkout", "enabled": enabled})
    context = {"context": {"targetingKey": "ada", "environment": attribute}}

    by_default, by_query = anyone.post(ONE, json=context), anyone.post(f"{ONE}?environment=staging", json=context)
    everything = anyone.post(ALL, json=context)

    assert [answer.status_code for answer in (by_default, by_query, everything)] == [200, 200, 200]
    assert (by_default.json["value"], by_query.json["value"]) == (True, False)
    assert everything.data == anyone.post(ALL, json=ADA).data


@pytest.mark.usefixtures("flag")
def test_an_attribute_environment_that_is_a_name_is_one_of_ours(anyone: FlaskClient) -> None:
    context = {"context": {"targetingKey": "ada", "environment": "eu"}}

    named, over = anyone.post(ONE, json=context), anyone.post(f"{ONE}?environment=production", json=context)

    assert (named.status_code, named.json["errorCode"]) == (404, "FLAG_NOT_FOUND")
    assert (over.status_code, over.json["value"]) == (200, True)


@pytest.mark.usefixtures("flag")
@pytest.mark.parametrize("path", [ONE, ALL])
@pytest.mark.parametrize("query", ["Production", "", "a%20b", "%ff", "x" * 65])
def test_an_environment_of_the_query_that_is_no_name_is_refused(anyone: FlaskClient, path: str, query: str) -> None:
    answer = anyone.post(f"{path}?environment={query}", json={"context": {"environment": "production"}})

    assert (answer.status_code, answer.json["errorCode"]) == (400, "INVALID_CONTEXT")


@pytest.mark.usefixtures("flag")
def test_a_missing_flag_and_another_method_are_told_as_json(anyone: FlaskClient) -> None:
    for key in ("nowhere", "a/b", "-", "\0"):
        missing = anyone.post(f"{ALL}/{quote(key)}", json=ADA)
        assert missing.status_code == 404
        assert (missing.json["key"], missing.json["errorCode"]) == (key, "FLAG_NOT_FOUND")
    for path in (ONE, ALL):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            refused = anyone.open(path, method=method)
            assert (refused.status_code, set(refused.headers["Allow"].split(", "))) == (405, {"OPTIONS", "POST"})
            assert refused.json.keys() == {"errorDetails"}
    for path in (f"{ALL}/", f"{ALL}//on", "/ofrep/", "/ofrep/v1/configuration", "/ofrep/v2/evaluate/flags"):
        unknown = anyone.post(path, json=ADA)
        assert (unknown.status_code, unknown.json.keys()) == (404, {"errorDetails"})


def again(anyone: FlaskClient, answer: TestResponse, body: dict[str, Any] = ADA) -> TestResponse:
    return anyone.post(ALL, json=body, headers={"If-None-Match": answer.headers["ETag"]})


@pytest.mark.usefixtures("flag")
def test_what_the_caller_has_already_is_not_told_again_until_it_changes(
    admin: FlaskClient, anyone: FlaskClient, clock: ManualClock
) -> None:
    plan(admin, 10, rolloutPercentage=40)
    first = anyone.post(ALL, json=ADA)

    same = again(anyone, first)
    other_user = again(anyone, first, {"context": {"targetingKey": "bob"}})
    clock.advance(seconds=10)
    at_its_instant = again(anyone, first)
    admin.patch(FLAG, json={"rolloutPercentage": 50})
    clock.advance(seconds=1)
    edited = again(anyone, at_its_instant)

    assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert [answer.status_code for answer in (other_user, at_its_instant, edited)] == [200, 200, 200]
    assert again(anyone, edited).status_code == 304


@pytest.mark.usefixtures("flag")
@pytest.mark.parametrize("written", ['W/"{}"', '"x", "{}"', "*", '"{}-gzip"', 'W/"{}-br"', '"x", "{}-zstd"'])
def test_an_etag_is_known_in_whatever_way_it_is_written(anyone: FlaskClient, written: str) -> None:
    tag = anyone.post(ALL, json=ADA).headers["ETag"].strip('"')

    assert anyone.post(ALL, json=ADA, headers={"If-None-Match": written.format(tag)}).status_code == 304


KEY = "a-key-for-the-checkout-service"


@pytest.mark.usefixtures("flag")
@pytest.mark.parametrize("path", [ONE, ALL])
@pytest.mark.parametrize("header", [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}])
def test_with_keys_only_a_key_opens(
    app_with: Callable[[EvaluationRules], Flask], path: str, header: dict[str, str]
) -> None:
    client = app_with(EvaluationRules(Access.KEY, frozenset({"another-key-of-ours", KEY}))).test_client()

    refused = client.post(path, json=ADA, headers={name: f"{value}x" for name, value in header.items()})

    assert (refused.status_code, refused.data) == (401, b"")
    assert refused.headers["WWW-Authenticate"].endswith('error="invalid_token", error_description="unknown API key"')
    assert client.post(path, json=ADA, headers=header).status_code == 200


@pytest.mark.usefixtures("flag")
@pytest.mark.parametrize("path", [ONE, ALL])
def test_with_tokens_any_valid_token_opens_and_many_wrong_ones_are_told_to_wait(
    app_with: Callable[[EvaluationRules], Flask], token: Callable[..., str], path: str
) -> None:
    client = app_with(EvaluationRules(Access.JWT)).test_client()

    answers = [client.post(path, json=ADA, headers={"Authorization": "Bearer x"}) for _ in range(4)]
    valid = client.post(path, json=ADA, headers={"Authorization": f"Bearer {token(role='reader')}"})

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert (answers[3].data, int(answers[3].headers["Retry-After"]) > 0) == (b"", True)
    assert valid.status_code == 200


def test_browsers_of_allowed_pages_may_ask(app_with: Callable[[EvaluationRules], Flask]) -> None:
    page = "https://shop.example"
    client = app_with(EvaluationRules(origins=frozenset({page}))).test_client()

    preflight = client.options(ALL, headers={"Origin": page, "Access-Control-Request-Method": "POST"})
    allowed = client.post(ALL, json=ADA, headers={"Origin": page})
    elsewhere = client.post(ALL, json=ADA, headers={"Origin": "https://else.example"})

    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == page
    own = {"Authorization", "X-API-Key", "Content-Type", "If-None-Match"}
    traced = {"X-Request-Id", "traceparent", "tracestate", "baggage"}
    assert set(preflight.headers["Access-Control-Allow-Headers"].split(", ")) == own | traced
    assert "ETag" in allowed.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Origin" not in elsewhere.headers
    assert (allowed.headers["Vary"], elsewhere.headers["Vary"]) == ("Origin", "Origin")
