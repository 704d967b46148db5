"""What a request leaves in the log."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from flagsched.bootstrap.logs import json_formatter
from flagsched.web.rules import Access, EvaluationRules
from tests.rows import all_history


@pytest.fixture
def lines(logged: list[str]) -> Callable[[], list[dict[str, Any]]]:
    """What requests have logged in this test so far. Threads of apps of earlier tests may log beside them."""
    before = len(logged)
    return lambda: [event for event in map(json.loads, logged[before:]) if event["logger"] == "flagsched.web"]


Lines = Callable[[], list[dict[str, Any]]]


def test_a_request_is_one_event_with_the_id_that_the_history_keeps(
    admin: FlaskClient, engine: sa.Engine, lines: Lines
) -> None:
    answer = admin.post("/api/admin/flags", json={"key": "new-checkout"})

    (event,) = lines()
    assert event["event"] == "request"
    assert (event["method"], event["route"], event["status"], event["subject"]) == (
        "POST", "/api/admin/flags", 201, "ada",
    )  # fmt: skip
    assert event["milliseconds"] > 0
    assert event["request_id"] == answer.headers["X-Request-Id"] == all_history(engine)[-1].request_id


def test_every_line_of_a_request_carries_its_id(anyone: FlaskClient, lines: Lines) -> None:
    answer = anyone.get("/api/admin/flags", headers={"Authorization": "Bearer a.b.c"})

    assert [event["event"] for event in lines()] == ["request refused", "request"]
    assert {event["request_id"] for event in lines()} == {answer.headers["X-Request-Id"]}


TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED = [
    f"00-{TRACE}-{PARENT}-01",
    f"00-{TRACE}-{PARENT}-ff",
    f"01-{TRACE}-{PARENT}-00",
    f"fe-{TRACE}-{PARENT}-01-more",
]
# What W3C Trace Context, level 1, has a receiver ignore.
NOT_TRACED = {
    "nothing": "",
    "a trace id alone": TRACE,
    "version ff": f"ff-{TRACE}-{PARENT}-01",
    "a version of one digit": f"0-{TRACE}-{PARENT}-01",
    "a trace id of zeros": f"00-{'0' * 32}-{PARENT}-01",
    "a parent id of zeros": f"00-{TRACE}-{'0' * 16}-01",
    "a trace id in capitals": f"00-{TRACE.upper()}-{PARENT}-01",
    "a version in capitals": f"0A-{TRACE}-{PARENT}-01",
    "a short trace id": f"00-{TRACE[1:]}-{PARENT}-01",
    "a trace id that is not hex": f"00-{TRACE[1:]}g-{PARENT}-01",
    "flags of one digit": f"00-{TRACE}-{PARENT}-0",
    "no flags": f"cc-{TRACE}-{PARENT}",
    "more after version 00": f"00-{TRACE}-{PARENT}-01-more",
    "a hyphen after version 00": f"00-{TRACE}-{PARENT}-01-",
    "more without a hyphen": f"01-{TRACE}-{PARENT}-01more",
    "other separators": f"00_{TRACE}_{PARENT}_01",
    "two of them": f"00-{TRACE}-{PARENT}-01,00-{TRACE}-{PARENT}-01",
    "no ASCII": "\xe9",
}


def test_every_line_of_a_request_carries_the_id_of_its_trace(anyone: FlaskClient, lines: Lines) -> None:
    headers = {"Authorization": "Bearer a.b.c", "X-Request-Id": "deploy-4711"}

    for traceparent in TRACED:
        anyone.get("/api/admin/flags", headers=headers | {"traceparent": traceparent})
        anyone.get("/nowhere", headers=headers | {"traceparent": traceparent})

    told = [(event["event"], event["request_id"], event["trace_id"]) for event in lines()]
    of_each = ["request refused", "request", "request"]
    assert told == [(event, "deploy-4711", TRACE) for event in of_each] * len(TRACED)


def test_a_traceparent_that_is_none_is_ignored(anyone: FlaskClient, lines: Lines) -> None:
    for traceparent in NOT_TRACED.values():
        assert anyone.get("/healthz", headers={"traceparent": traceparent}).status_code == 200

    assert len(lines()) == len(NOT_TRACED)
    assert [name for name, event in zip(NOT_TRACED, lines(), strict=True) if "trace_id" in event] == []


def test_refusals_of_ofrep_are_logged_with_both_ids(app_with: Callable[[EvaluationRules], Flask], lines: Lines) -> None:
    client = app_with(EvaluationRules(Access.JWT)).test_client()
    headers = {"Authorization": "Bearer a.b.c", "traceparent": TRACED[0], "X-Request-Id": "checkout-7"}

    answer = client.post("/ofrep/v1/evaluate/flags", json={"context": {}}, headers=headers)

    logged = lines()
    assert answer.status_code == 401
    assert [event["event"] for event in logged] == ["request refused"]
    assert {(event["request_id"], event["trace_id"]) for event in logged} == {("checkout-7", TRACE)}


def test_a_refused_request_is_no_cause_for_alarm(admin: FlaskClient, lines: Lines) -> None:
    admin.post("/api/admin/flags", json={})

    assert {event["level"] for event in lines()} == {"info"}


def test_a_fault_is_one_line_with_its_traceback(
    app: Flask, anyone: FlaskClient, lines: Lines, logged: list[str]
) -> None:
    app.add_url_rule("/broken", view_func=lambda: str(1 / 0))

    anyone.get("/broken")

    fault = next(event for event in lines() if event["level"] == "error")
    assert "ZeroDivisionError" in fault["exception"]
    assert all("\n" not in line for line in logged)


@pytest.mark.parametrize(
    ("message", "hidden"),
    [
        ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "eyJ"),
        ("cannot connect to postgresql://app:hunter2@db:5432/x", "hunter2"),
        ("cannot connect to postgresql://app:hunter2@db:5432/x", "app:"),
    ],
)
def test_tokens_and_passwords_do_not_stand_in_a_log(message: str, hidden: str) -> None:
    line = json_formatter().format(logging.LogRecord("x", logging.INFO, "x", 1, message, None, None))

    assert hidden not in line
    assert "[secret]" in line


@pytest.mark.parametrize("character", ["\n", "\r", "\x1b[2J", "\x00", "\u2028", "\x7f", "\x9b"])
def test_control_characters_are_escaped(character: str) -> None:
    line = json_formatter().format(logging.LogRecord("x", logging.INFO, "x", 1, f"a{character}b", None, None))

    assert line.isprintable()
    assert json.loads(line)["event"] == f"a{character}b"
