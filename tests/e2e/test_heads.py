"""Heads that are no HTTP: refused at once, whatever their size, and not a word of them in the log."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import psutil
import pytest
import sqlalchemy as sa

from tests.e2e.slow import answer, connect, seconds_to_health, status_of
from tests.processes import web

SECRET = "sesame-open-1234567890"
DEBUG = ("-m", "gunicorn", "--log-level", "debug", "wsgi:app")


def cpu_seconds() -> float:
    """Of all processes that this one has started."""
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(spent.user + spent.system for spent in times)


@pytest.mark.parametrize("end", [b"\r\n\r\n", b""], ids=["with an end", "without an end"])
def test_a_line_of_800_kilobytes_without_a_colon_is_refused_at_once(
    sqlite_url: sa.URL, tmp_path: Path, end: bytes
) -> None:
    sent = b"GET / HTTP/1.1\r\n" + b"eyJ" * 266_000 + end
    with web(sqlite_url, tmp_path / "web.log") as address:
        seconds_to_health(address)
        spent, began_at = cpu_seconds(), monotonic()
        received = answer(connect(address, sent))
        took, spent = monotonic() - began_at, cpu_seconds() - spent
        with ThreadPoolExecutor() as threads:
            attack = [threads.submit(lambda: answer(connect(address, sent))) for _ in range(20)]
            waited = [seconds_to_health(address) for _ in range(20)]

    assert status_of(received) == 400
    assert b'"error": "BAD_REQUEST"' in received
    assert took < 1
    assert spent < 0.2
    assert [status_of(refused.result()) for refused in attack] == [400] * 20
    assert max(waited) < 1
    lines = (tmp_path / "web.log").read_text().splitlines()
    assert any("InvalidHeader" in line for line in lines)
    assert not any("eyJeyJ" in line or len(line) > 1_000 for line in lines)


FIELDS = f"X-API-Key: {SECRET}\r\n" * 2_000
MALFORMED = {
    "a key without a colon": (400, f"GET / HTTP/1.1\r\nHost: x\r\nX-API-Key {SECRET}\r\n\r\n"),
    "a token without a colon": (400, f"GET / HTTP/1.1\r\nAuthorization Bearer {SECRET}\r\nHost: x\r\n\r\n"),
    "a blank in the name": (400, f"GET / HTTP/1.1\r\nX-API-Key {SECRET}: 1\r\n\r\n"),
    "a folded line": (400, f"GET / HTTP/1.1\r\nX-API-Key: 1\r\n {SECRET}\r\n\r\n"),
    "a control character": (400, f"GET / HTTP/1.1\r\nX-API-Key: {SECRET}\x01\r\n\r\n"),
    "an expectation": (417, f"GET / HTTP/1.1\r\nExpect: {SECRET}\r\n\r\n"),
    "a method": (400, f"{SECRET} / HTTP/1.1\r\n\r\n"),
    "a version": (400, f"GET / HTTP/{SECRET}\r\n\r\n"),
    "a request line": (400, f"GET {SECRET} {SECRET} HTTP/1.1\r\n\r\n"),
    "a transfer coding": (400, f"GET / HTTP/1.1\r\nTransfer-Encoding: {SECRET}\r\n\r\n"),
    "a length": (400, f"GET / HTTP/1.1\r\nContent-Length: {SECRET}\r\n\r\n"),
    "a bare line feed": (400, f"GET / HTTP/1.1\nX-API-Key: {SECRET}\n\n"),
    "a long header": (431, f"GET / HTTP/1.1\r\nX-API-Key: {SECRET * 1_000}\r\n\r\n"),
    "a long header without an end": (431, f"GET / HTTP/1.1\r\nX-API-Key: {SECRET * 1_000}"),
    "a long request line": (414, f"GET /{SECRET * 1_000} HTTP/1.1\r\n\r\n"),
    "a long request line without an end": (414, f"GET /{SECRET * 1_000}"),
    "a hundred and one headers": (431, "GET / HTTP/1.1\r\n" + f"X-API-Key: {SECRET}\r\n" * 101 + "\r\n"),
    "a head of 70 kilobytes": (431, "GET / HTTP/1.1\r\n" + f"X-API-Key: {SECRET * 30}\r\n" * 99 + "\r\n"),
    # The longest request line that is taken, and lines up to the limit: nothing more comes.
    "a head at the limit without an end": (431, f"GET /{'a' * 8100} HTTP/1.1\r\n{FIELDS}"[:65_536]),
    "a head of 70 kilobytes without an end": (431, "GET / HTTP/1.1\r\n" + f"X-API-Key: {SECRET * 35}\r\n" * 90),
    "chunks": (
        400,
        f"POST /ofrep/v1/evaluate/flags HTTP/1.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
        f"Transfer-Encoding: chunked\r\n\r\n{SECRET}\r\n",
    ),
    "a trailer": (
        400,
        f"POST /ofrep/v1/evaluate/flags HTTP/1.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
        f"Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\nX-API-Key {SECRET}\r\n\r\n",
    ),
    "a trailer that nobody reads": (
        200,
        f"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\nX-API-Key {SECRET}\r\n\r\n",
    ),
}


def test_nothing_of_a_malformed_request_stands_in_the_log(sqlite_url: sa.URL, tmp_path: Path) -> None:
    with web(sqlite_url, tmp_path / "web.log", arguments=DEBUG, FLAGSCHED_LOG_LEVEL="DEBUG") as address:
        statuses = {name: status_of(answer(connect(address, sent.encode()))) for name, (_, sent) in MALFORMED.items()}
        half = connect(address, f"GET / HTTP/1.1\r\nX-API-Key: {SECRET}\r\n".encode())
        half.close()
        assert seconds_to_health(address) < 1

    assert statuses == {name: status for name, (status, _) in MALFORMED.items()}
    log = (tmp_path / "web.log").read_text()
    assert "sesame" not in log
    assert "Traceback" not in log
    assert log.count("request refused") >= len(MALFORMED) - 3
