"""Bodies as they come over the wire: in chunks, cut off, or never."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import monotonic

import orjson
import pytest
import sqlalchemy as sa

from tests.e2e.slow import seconds_to_health
from tests.processes import a_token, web

EVALUATE = "/ofrep/v1/evaluate/flags"
PATHS = ("/api/admin/flags", EVALUATE, f"{EVALUATE}/new-checkout")
PATIENCE_SECONDS = 10
"""For which a server waits for more of a body."""


def exchange(address: str, request: bytes, *, then_end: bool = False) -> bytes:
    """What a server answers to these very bytes, and to their end if `then_end`."""
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=2 * PATIENCE_SECONDS) as connection:
        connection.sendall(request)
        if then_end:
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            return connection.makefile("rb").read()
    return b""


def post(path: str, framing: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {a_token()}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\n{framing}\r\n\r\n"
    )
    return head.encode() + body


def chunked(path: str, body: bytes) -> bytes:
    return post(path, "Transfer-Encoding: chunked", body)


def chunk(body: bytes) -> bytes:
    return f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


def status_of(answer: bytes) -> int:
    return int(answer.split()[1])


def error_of(answer: bytes) -> str:
    """The code, as the API or as OFREP names it."""
    told = orjson.loads(answer.partition(b"\r\n\r\n")[2])
    return str(told.get("errorCode", told.get("error")))


REFUSED = {"/api/admin/flags": "Validation failed", PATHS[1]: "PARSE_ERROR", PATHS[2]: "PARSE_ERROR"}


def test_a_chunked_body_is_held_to_the_same_limit(sqlite_url: sa.URL, tmp_path: Path) -> None:
    with web(sqlite_url, tmp_path / "web.log") as address:
        small = exchange(address, chunked(PATHS[0], chunk(b'{"key": "small"}')))
        padded = exchange(address, chunked(PATHS[0], chunk(b'{"key": "padded"}' + b" " * 300_000)))
        large = exchange(address, chunked(PATHS[0], chunk(b"a" * 300_000)))
        asked = exchange(address, chunked(EVALUATE, chunk(b'{"context": {}}')))
        asked_too_much = exchange(address, chunked(EVALUATE, chunk(b'{"context": {}}' + b" " * 300_000)))

    assert [status_of(answer) for answer in (small, padded, large)] == [201, 413, 413]
    assert [status_of(answer) for answer in (asked, asked_too_much)] == [200, 400]
    assert error_of(asked_too_much) == "INVALID_CONTEXT"


@pytest.mark.parametrize("path", PATHS)
def test_chunks_that_are_framed_wrongly_are_refused(sqlite_url: sa.URL, tmp_path: Path, path: str) -> None:
    with web(sqlite_url, tmp_path / "web.log") as address:
        for body in (b"zz\r\n{}\r\n0\r\n\r\n", b"2\r\n{}XX0\r\n\r\n"):
            answer = exchange(address, chunked(path, body))
            assert (status_of(answer), error_of(answer)) == (400, REFUSED[path]), answer


@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_ends_early_is_refused_though_it_may_be_json(sqlite_url: sa.URL, tmp_path: Path, path: str) -> None:
    body = b'{"key": "cut-off"}' if path == PATHS[0] else b'{"context": {}}'
    framings = ["Content-Length: 100", "Content-Length: 200000", "Transfer-Encoding: chunked"]
    bodies = [body, body, f"{len(body) + 9:x}\r\n".encode() + body]
    with web(sqlite_url, tmp_path / "web.log") as address:
        for framing, sent in zip(framings, bodies, strict=True):
            answer = exchange(address, post(path, framing, sent), then_end=True)
            assert (status_of(answer), error_of(answer)) == (400, REFUSED[path]), (framing, answer)


def test_a_body_that_does_not_come_is_refused_in_time(sqlite_url: sa.URL, tmp_path: Path) -> None:
    requests = [post(path, f"Content-Length: {length}", b"{}") for path in PATHS for length in (100, 200_000)]
    with web(sqlite_url, tmp_path / "web.log") as address, ThreadPoolExecutor(len(requests)) as threads:
        seconds_to_health(address)
        began_at = monotonic()
        answers = list(threads.map(lambda request: exchange(address, request), requests))
        took = monotonic() - began_at

    assert [(status_of(answer), error_of(answer)) for answer in answers] == [
        (400, REFUSED[path]) for path in PATHS for _ in range(2)
    ]
    assert took < PATIENCE_SECONDS + 4
    assert "Traceback" not in (tmp_path / "web.log").read_text()
