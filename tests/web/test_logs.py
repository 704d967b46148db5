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
from tests.rows import all_history


@pytest.fixture
def lines(logged: list[str]) -> Callable[[], list[dict[str, Any]]]:
    """The events that this test has logged so far."""
    before = len(logged)
    return lambda: [json.loads(line) for line in logged[before:]]


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
