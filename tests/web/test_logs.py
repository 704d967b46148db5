"""What a request leaves in the log."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from time import thread_time
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from flask import Flask
from flask.testing import FlaskClient

from flagsched.bootstrap.logs import SECRETS, json_formatter
from flagsched.web.access import Access, EvaluationRules
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


def test_a_request_without_the_right_is_logged_with_the_subject_of_its_token(
    anyone: FlaskClient, token: Callable[..., str], lines: Lines
) -> None:
    bearer = {"Authorization": f"Bearer {token(role='viewer', subject='eve')}"}

    anyone.post("/api/admin/flags", json={"key": "new-checkout"}, headers=bearer)

    *_, event = lines()
    assert (event["event"], event["status"], event["subject"]) == ("request", 403, "eve")


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

    logged_ids = [(event["event"], event["request_id"], event["trace_id"]) for event in lines()]
    of_each = ["request refused", "request", "request"]
    assert logged_ids == [(event, "deploy-4711", TRACE) for event in of_each] * len(TRACED)


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


def test_a_fault_is_one_line_with_its_traceback(faulty: FlaskClient, lines: Lines, logged: list[str]) -> None:
    faulty.get("/broken")

    fault = next(event for event in lines() if event["level"] == "error")
    assert "ZeroDivisionError" in fault["exception"]
    assert all("\n" not in line for line in logged)


def rendered(message: object, *args: object, **options: Any) -> str:
    """The line that a library's message becomes."""
    return json_formatter().format(logging.LogRecord("x", logging.INFO, "x", 1, message, args, None, **options))


@pytest.mark.parametrize(
    ("message", "hidden"),
    [
        ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "eyJ"),
        ("token%3DeyJhbGciOiJIUzI1NiJ9", "eyJ"),
        ("cannot connect to postgresql://app:hunter2@db:5432/x", "hunter2"),
        ("cannot connect to postgresql://app:hunter2@db:5432/x", "app:"),
        ("cannot connect to postgresql://app:hunt@er2@db:5432/x", "er2"),
        ("cannot connect to redis://:hunter2@cache", "hunter2"),
        ("host=db user=app password=hunter2 sslmode=require", "hunter2"),
        ("x" * 180 + "postgresql://app:hunter2@db", "hunt"),
        ("x" * 190 + "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl", "eyJ"),
    ],
)
def test_tokens_and_passwords_do_not_stand_in_a_log(message: str, hidden: str) -> None:
    line = rendered(message)

    assert hidden not in line
    assert "[secret]" in line


def test_the_host_of_a_url_still_stands_in_a_log() -> None:
    assert "postgresql://[secret]@db:5432/x" in rendered("cannot connect to postgresql://app:hunter2@db:5432/x")
    assert "http://127.0.0.1:8000/a@b" in rendered("see http://127.0.0.1:8000/a@b")


NASTY = {
    "tokens without a dot": "eyJ",
    "tokens of dots": "eyJ.",
    "passwords without an end": "://a:a:a",
    "users without a password": "://a",
    "colons": ":a",
    "mixed": "eyJa.://b:c:d password=",
    "passwords": "password=",
    "plain": "nothing to hide ",
}


@pytest.mark.parametrize("begin", ["", "://a:", "eyJ"])
@pytest.mark.parametrize("shape", NASTY.values(), ids=NASTY)
def test_a_megabyte_of_nasty_text_is_searched_for_secrets_in_no_time(shape: str, begin: str) -> None:
    text = begin + shape * (1_000_000 // len(shape))

    assert quickest(lambda: SECRETS.search(text) and SECRETS.sub("[secret]", text)) < 0.05
    assert quickest(lambda: rendered("Invalid header: %r", text)) < 0.05


def quickest(work: Callable[[], object]) -> float:
    """How many seconds of the processor it takes, in the best of three."""

    def once() -> float:
        began_at = thread_time()
        work()
        return thread_time() - began_at

    return min(once() for _ in range(3))


def test_what_is_quoted_in_a_log_is_cut_to_200_characters(logged: list[str]) -> None:
    structlog.get_logger("x").info("refused", cause="a" * 1_000, details=["b" * 1_000])
    line = json.loads(logged[-1])

    assert line["cause"] == "a" * 199 + "…"
    assert len(line["details"]) == 200
    assert json.loads(rendered("c" * 1_000))["event"] == "c" * 199 + "…"


def test_a_traceback_stays_useful_whatever_it_quotes() -> None:
    def sink(depth: int) -> None:
        if depth:
            above(depth - 1)
        raise ValueError("quoted " + "x" * 1_000_000 + "\n" + "y" * 1_000_000)

    def above(depth: int) -> None:
        sink(depth)

    with pytest.raises(ValueError, match="quoted") as caught:
        sink(200)
    fault = (ValueError, caught.value, caught.value.__traceback__)
    line = json_formatter().format(logging.LogRecord("x", logging.ERROR, "x", 1, "failed", (), fault))

    assert len(line) < 20_000
    traceback = json.loads(line)["exception"].split("\n")
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-2].startswith("ValueError: quoted xxx")
    assert traceback[-1].startswith("yyy")


def test_a_warning_is_a_line_like_all_others() -> None:
    code = (
        "import warnings; from flagsched.bootstrap.logs import configure_logs; configure_logs(20)\n"
        "warnings.warn('eyJhbGciOiJIUzI1NiJ9.eyJzdWIi ' + 'x' * 1000, stacklevel=1)"
    )
    written = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr

    (line,) = written.splitlines()
    assert json.loads(line)["logger"] == "py.warnings"
    assert "eyJ" not in line
    assert len(line) < 600


def test_numbers_and_names_in_a_log_are_as_they_were(logged: list[str]) -> None:
    structlog.get_logger("x").info("recorded", flags=3, seconds=0.5, late=False, subject=None)

    event = json.loads(logged[-1])
    assert (event["flags"], event["seconds"], event["late"], event["subject"]) == (3, 0.5, False, None)


@pytest.mark.parametrize("character", ["\n", "\r", "\x1b[2J", "\x00", "\u2028", "\x7f", "\x9b"])
def test_control_characters_are_escaped(character: str) -> None:
    line = json_formatter().format(logging.LogRecord("x", logging.INFO, "x", 1, f"a{character}b", None, None))

    assert line.isprintable()
    assert json.loads(line)["event"] == f"a{character}b"
