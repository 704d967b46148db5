"""Clients that do not read, or drip: the others are answered all the same, and none holds a thread for long."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
import sqlalchemy as sa

from tests.e2e.slow import answer, close_all, connect, seconds_to_health, send_one, status_of, was_reset
from tests.processes import a_token, until, web

THREADS = 8
STALL_SECONDS = 10
DEADLINE_SECONDS = 30
LATE_SECONDS = 4
"""For a busy machine, and for the event loop, which looks once a second."""
LARGE = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slow") / "web.log"


@pytest.fixture(scope="module")
def address(sqlite_template: Path, log: Path) -> Iterator[str]:
    """A server of one process."""
    url = sa.make_url(f"sqlite:///{shutil.copy(sqlite_template, log.parent / 'flagsched.db')}")
    with web(url, log, FLAGSCHED_THREADS=str(THREADS)) as address:
        seconds_to_health(address)
        yield address


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    close_all()


def post(length: int) -> bytes:
    return (
        f"POST /api/admin/flags HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {a_token()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    ).encode()


def test_clients_that_pipeline_a_large_file_and_read_nothing_are_cut_off(address: str) -> None:
    for _ in range(THREADS + 1):
        connect(address, LARGE * 10, receive_buffer=4096)
    sleep(1)

    assert seconds_to_health(address) < 2 * STALL_SECONDS
    until(lambda: seconds_to_health(address) < 1, seconds=2 * STALL_SECONDS, what="they are cut off")
    assert seconds_to_health(address) < 1


def test_clients_that_drip_their_heads_hold_nobody_up_and_a_slow_upload_goes_through(address: str) -> None:
    body = b'{"key": "slow"}'.ljust(256 * 1024)
    began_at = monotonic()
    dripping = [connect(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Drip: ") for _ in range(20)]
    upload = connect(address, post(len(body)))
    waited = []
    for second in range(20):
        upload.sendall(body[second * len(body) // 20 : (second + 1) * len(body) // 20])
        if second % 5 == 0:
            for connection in dripping:
                send_one(connection, b"a")
        waited.append(seconds_to_health(address))
        sleep(1)

    assert status_of(answer(upload)) == 201
    assert max(waited) < 1
    while monotonic() < began_at + DEADLINE_SECONDS - 2:
        for connection in dripping:
            send_one(connection, b"a")
        sleep(1)
    answers = [answer(connection) for connection in dripping]
    assert DEADLINE_SECONDS - 2 < monotonic() - began_at < DEADLINE_SECONDS + LATE_SECONDS
    assert [status_of(received) for received in answers] == [408] * 20
    assert b'"error": "REQUEST_TIMEOUT"' in answers[0]


def test_clients_that_drip_bodies_or_read_a_little_now_and_then_are_cut_off(address: str, log: Path) -> None:
    began_at = monotonic()
    senders = [connect(address, post(1_000)) for _ in range(THREADS // 2)]
    readers = [connect(address, LARGE * 10, receive_buffer=65536) for _ in range(THREADS // 2)]
    while monotonic() < began_at + DEADLINE_SECONDS - 2:
        for sender in senders:
            send_one(sender, b" ")
        for reader in readers:
            # Often enough not to stall, and too slowly to read the file in time.
            reader.recv(16384)
        sleep(0.5)

    assert seconds_to_health(address) < 2 + LATE_SECONDS
    sleep(max(0, began_at + DEADLINE_SECONDS + LATE_SECONDS - monotonic()))
    assert [was_reset(reader) for reader in readers] == [True] * len(readers)
    assert seconds_to_health(address) < 1
    answers = [answer(sender) for sender in senders]
    assert [status_of(received) for received in answers] == [400] * len(senders)
    assert b"breaks off" in answers[0]
    assert "Traceback" not in log.read_text()


def test_clients_that_connect_and_send_nothing_hold_nobody_up(address: str) -> None:
    for _ in range(50):
        connect(address)
        connect(address, HEALTH)
    sleep(0.5)

    assert max(seconds_to_health(address) for _ in range(10)) < 1


def test_clients_that_do_not_close_after_their_answer_hold_nobody_up(address: str) -> None:
    answered = [connect(address, HEALTH.replace(b"Host: x", b"Host: x\r\nConnection: close")) for _ in range(20)]

    assert max(seconds_to_health(address) for _ in range(10)) < 1
    for connection in answered:
        assert status_of(answer(connection)) == 200


def test_a_head_that_comes_in_pieces_is_answered(address: str) -> None:
    connection = connect(address)
    for piece in (HEALTH[:3], HEALTH[3:30], HEALTH[30:] + HEALTH[:20]):
        connection.sendall(piece)
        sleep(0.3)
    first = connection.recv(65536)
    connection.sendall(HEALTH[20:-2] + b"Connection: close\r\n\r\n")

    assert (status_of(first), status_of(answer(connection))) == (200, 200)


def test_half_a_head_and_the_end_of_the_connection_is_no_fault(address: str, log: Path) -> None:
    connection = connect(address, HEALTH[:30])
    sleep(0.3)
    connection.shutdown(socket.SHUT_WR)

    assert answer(connection) == b""
    assert seconds_to_health(address) < 1
    assert "Traceback" not in log.read_text()


def test_more_idle_connections_than_a_process_may_have_hold_nobody_up(sqlite_url: sa.URL, tmp_path: Path) -> None:
    few = ("-m", "gunicorn", "--worker-connections", "20", "wsgi:app")
    with web(sqlite_url, tmp_path / "web.log", arguments=few) as address:
        seconds_to_health(address)
        for _ in range(100):
            connect(address)

        assert seconds_to_health(address) < 1
