"""A server that can't be asked, or is none of ours: the message says what to do."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from flagsched.client.errors import FileRefused, Refused, ServerFailed
from flagsched.client.plan_files import PlanFile
from flagsched.client.plans import apply_plan
from flagsched.client.server import Server, refuse_bad_url
from tests.processes import free_port

PLAN = PlanFile("plan.yaml", "launch", {"flags": ["a"]}, {})


class Answering(HTTPServer):
    """Gives one answer to whatever it is asked, and keeps what that was."""

    status: int
    headers: dict[str, str]
    content: bytes
    asked: list[tuple[str, str | None, Any]]


class Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"], body))
        self.send_response(self.server.status)
        for name, value in (self.server.headers | {"Content-Length": str(len(self.server.content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def answering(status: int, content: str | dict[str, Any] = "", **headers: str) -> Iterator[tuple[Server, Answering]]:
    with Answering(("127.0.0.1", 0), Handler) as http:
        http.status, http.asked = status, []
        http.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        http.content = (content if isinstance(content, str) else json.dumps(content)).encode()
        thread = Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield Server(f"http://127.0.0.1:{http.server_port}", "a.token"), http
        http.shutdown()
        thread.join()


def failure(status: int, content: str | dict[str, Any] = "", **headers: str) -> str:
    with answering(status, content, **headers) as (server, _), pytest.raises(ServerFailed) as failed:
        server.put("/x", {})
    return str(failed.value).replace(server.url, "URL")


def an_error(code: str, message: str, details: object = None) -> dict[str, Any]:
    return {"error": code, "message": message, "details": details, "requestId": "request-1"}


def test_a_plan_is_put_under_its_name_with_the_token() -> None:
    answer = {"created": True, "changed": True, "added": [], "cancelled": [], "kept": []}

    with answering(200, answer) as (server, http):
        applied = apply_plan(server, PLAN, dry_run=True)

    assert http.asked == [("/api/admin/named-plans/launch?dryRun=true", "Bearer a.token", {"flags": ["a"]})]
    assert applied.answer == answer


def test_a_server_may_be_below_a_path() -> None:
    with answering(200, {}) as (server, http):
        Server(f"{server.url}/flags/", "t").put("/api/x", {})

    assert http.asked[0][0] == "/flags/api/x"


def test_the_token_is_not_replaced_by_a_login_of_netrc(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))

    with answering(200, {}) as (server, http):
        server.put("/x", {})

    assert http.asked[0][1] == "Bearer a.token"


def test_a_proxy_does_not_lead_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")

    with answering(200, {}) as (server, _):
        assert server.put("/x", {}) == {}


def test_a_proxy_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")

    with pytest.raises(ServerFailed) as failed:
        Server("http://flags.example", "t").put("/x", {})

    assert str(failed.value) == (
        "the proxy does not lead to http://flags.example: Connection refused; NO_PROXY leaves it out"
    )


def test_no_server_at_all_is_told_with_its_cause() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(ServerFailed) as failed:
        Server(url, "t").put("/x", {})

    assert str(failed.value) == (
        f"no server answers at {url}: Connection refused. Is it running, and is FLAGSCHED_URL right?"
    )


@pytest.mark.parametrize(
    ("status", "content", "headers", "message"),
    [
        (
            401,
            an_error("UNAUTHENTICATED", "the token is old"),
            {},
            "URL does not accept FLAGSCHED_TOKEN: 401 the token is old. 'flagsched token --subject NAME' makes one",
        ),
        (
            403,
            an_error("FORBIDDEN", "the role admin is needed"),
            {},
            "the role in FLAGSCHED_TOKEN is not enough: 403 the role admin is needed",
        ),
        (
            404,
            an_error("NOT_FOUND", "flagsched has nothing at this path"),
            {},
            "no flagsched that knows this is at URL: 404 flagsched has nothing at this path. "
            "FLAGSCHED_URL is the address before /api/admin",
        ),
        (
            404,
            "<html>",
            {},
            "no flagsched that knows this is at URL: 404 Not Found. FLAGSCHED_URL is the address before /api/admin",
        ),
        (
            200,
            "<html>",
            {},
            "what answers at URL is no flagsched: it sends no JSON. Is FLAGSCHED_URL right?",
        ),
        (
            308,
            "",
            {"Location": "https://flags.example/"},
            "URL redirects to https://flags.example/: set FLAGSCHED_URL to the server's own address",
        ),
        (
            503,
            an_error("FLAG_BUSY", "flag 'a' is busy"),
            {"Retry_After": "3"},
            "URL can't do this: 503 flag 'a' is busy. Try again in 3 s (request request-1)",
        ),
        (
            429,
            an_error("RATE_LIMITED", "too many writes"),
            {"Retry_After": "20"},
            "URL can't do this: 429 too many writes. Try again in 20 s (request request-1)",
        ),
        (502, "<html>", {}, "URL can't do this: 502 Bad Gateway"),
        (400, "<html>", {}, "URL can't do this: 400 Bad Request"),
    ],
    ids=["401", "403", "404", "404 of another", "not JSON", "redirect", "busy", "rate", "router", "400 of another"],
)
def test_an_answer_that_is_of_no_use_says_what_to_do(
    status: int, content: str | dict[str, Any], headers: dict[str, str], message: str
) -> None:
    assert failure(status, content, **headers) == message


def test_a_refused_plan_is_told_by_the_name_of_the_file() -> None:
    refusal = an_error("FLAG_NOT_FOUND", "no", {"flags": {"a": ["flag 'a' does not exist in 'production'"]}})

    with answering(404, refusal) as (server, _), pytest.raises(FileRefused) as refused:
        apply_plan(server, PLAN, dry_run=False)

    assert str(refused.value) == "plan.yaml: flags.a: flag 'a' does not exist in 'production'"


def test_a_refusal_has_the_details_of_the_server() -> None:
    with answering(409, an_error("QUOTA_EXCEEDED", "too many")) as (server, _), pytest.raises(Refused) as refused:
        server.put("/x", {})

    assert (str(refused.value), refused.value.details) == ("too many", None)


@pytest.mark.parametrize("answer", [{}, {"created": True, "changed": True, "added": [1], "cancelled": [], "kept": []}])
def test_an_answer_of_another_release_is_told(answer: dict[str, Any]) -> None:
    with answering(200, answer) as (server, _), pytest.raises(ServerFailed, match="are both of the same release"):
        apply_plan(server, PLAN, dry_run=True)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("flags.example", "must be the server's address"),
        ("ftp://flags.example", "must be the server's address"),
        ("https://", "must be the server's address"),
        ("https://ada:pw@flags.example", "must have no user"),
        ("https://flags.example?a=b", "no query"),
        ("https://flags.example:99999", "Port out of range"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        refuse_bad_url(url)


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("http://flags.example", True),
        ("https://flags.example", False),
        ("http://localhost:8000", False),
        ("http://[::1]:8000", False),
    ],
)
def test_a_token_goes_to_another_machine_in_the_open_without_https(url: str, *, plain: bool) -> None:
    assert Server(url, "t").is_plain is plain
    assert "token" not in repr(Server(url, "t"))
