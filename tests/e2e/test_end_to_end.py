"""From a posted plan to a flag that moves: gunicorn, the worker and real HTTP clients."""

import json
import os
import pty
import re
import select
import socket
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from tests.e2e.test_bodies import exchange
from tests.processes import ROOT, environment, free_port, started, until, web, worker


def run_flagsched(url: sa.URL, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flagsched", *arguments],
        cwd=ROOT, env=environment(url), capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.fixture
def admin(url: sa.URL) -> requests.Session:
    """An admin with a token from the command line."""
    made = run_flagsched(url, "token", "--role", "admin", "--subject", "ada")
    assert made.returncode == 0, made.stderr
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {made.stdout.strip()}"
    return session


def ahead(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_a_bulk_comes_about_step_by_step_and_is_recorded(url: sa.URL, admin: requests.Session, tmp_path: Path) -> None:
    with web(url, tmp_path / "web.log") as address, worker(url, tmp_path / "worker.log"):
        flag = f"{address}/api/admin/flags/new-checkout"
        created = admin.post(
            f"{address}/api/admin/flags", json={"key": "new-checkout", "rolloutPercentage": 0}, timeout=9
        )
        assert created.status_code == 201, created.text
        steps = [25, 50, 100]
        schedules = [
            {"scheduledAt": ahead(0.7 * (n + 1)), "updates": {"enabled": True, "rolloutPercentage": step}}
            for n, step in enumerate(steps)
        ]
        planned = admin.post(f"{flag}/schedule/bulk", json={"schedules": list(reversed(schedules))}, timeout=9)
        assert planned.status_code == 201, planned.text
        assert {s["status"] for s in planned.json()["schedules"]} == {"pending"}

        seen: list[Any] = []

        def watch() -> bool:
            told = requests.get(f"{address}/api/config/flags/new-checkout", timeout=9).json()
            seen.append((told["rolloutPercentage"], told["value"]))
            return bool(told["value"])

        until(watch, what="the flag is on for all")
        until(lambda: admin.get(flag, timeout=9).json()["materialized"], what="recorded")
        ended = admin.get(f"{flag}/schedule", timeout=9).json()

    assert list(dict.fromkeys(seen)) == [(0, False), (25, False), (50, False), (100, True)]
    assert [(s["status"], s["updates"]["rolloutPercentage"]) for s in ended] == [("applied", step) for step in steps]
    assert [s["appliedAt"] is not None for s in ended] == [True] * 3


def test_a_reader_sees_the_change_with_no_worker_at_all(url: sa.URL, admin: requests.Session, tmp_path: Path) -> None:
    with web(url, tmp_path / "web.log") as address:
        admin.post(f"{address}/api/admin/flags", json={"key": "x"}, timeout=9)
        plan = {"scheduledAt": ahead(0.5), "updates": {"enabled": True}}
        assert admin.post(f"{address}/api/admin/flags/x/schedule", json=plan, timeout=9).status_code == 201

        until(lambda: requests.get(f"{address}/api/config/flags/x", timeout=9).json()["value"], seconds=3)

        assert not admin.get(f"{address}/api/admin/flags/x", timeout=9).json()["materialized"]


def of_its_own() -> dict[str, str]:
    """An environment in which nothing is set, but flagsched is found."""
    env = environment(sa.make_url("sqlite://")) | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    del env["DATABASE_URL"], env["JWT_SECRET_KEY"]
    return env


def paste(printed: str, env: dict[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    lines = printed[printed.index("export TOKEN=") :].partition("sleep 2; done")
    return subprocess.run(
        ["bash", "-c", lines[0] + lines[1]],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def assert_came_about(pasted: "subprocess.CompletedProcess[str]") -> None:
    told = re.findall(r'"rolloutPercentage":(\d+),"value":(\w+)', pasted.stdout)
    assert pasted.returncode == 0, pasted.stderr
    assert [percentage for percentage, _ in told][:1] == ["0"], pasted.stdout
    assert told[-1] == ("100", "true")


def test_what_flagsched_run_prints_can_be_pasted(tmp_path: Path) -> None:
    port = str(free_port())
    env = of_its_own()

    command = [sys.executable, "-m", "flagsched", "run", "--port", port]
    with started(command, tmp_path / "run.log", env, cwd=tmp_path) as running:
        until(lambda: "sleep 2; done" in running.log, seconds=90, what="the lines to paste")
        assert "eyJ" not in running.log
        pasted = paste(running.log, env, tmp_path)
        assert running.stop() == 143

    assert_came_about(pasted)
    assert (tmp_path / "instance" / "jwt-secret").stat().st_mode & 0o777 == 0o600
    for name in ("web", "worker"):
        assert f"{name} stopped" in re.sub(" +", " ", running.log)


def test_on_a_terminal_flagsched_run_prints_a_token(tmp_path: Path) -> None:
    env = of_its_own()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "flagsched", "run", "--port", str(free_port())],
        cwd=tmp_path, env=env, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs)
    printed = ""
    try:
        with suppress(OSError):  # As a terminal ends.
            while "sleep 2; done" not in printed and select.select([ours], [], [], 90)[0]:
                printed += os.read(ours, 65536).decode()
        pasted = paste(printed.replace("\r\n", "\n"), env, Path("/"))
    finally:
        process.terminate()
        process.wait(timeout=20)
        os.close(ours)

    assert re.search(r"export TOKEN=eyJ[\w-]+\.[\w-]+\.[\w-]+", printed)
    assert_came_about(pasted)


def test_a_port_that_is_taken_is_told_before_anything_is_started(tmp_path: Path) -> None:
    env = environment(sa.make_url("sqlite://"))
    del env["DATABASE_URL"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "flagsched", "run", "--port", port]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert not (tmp_path / "instance").exists()


def get(path: bytes = b"/healthz", *headers: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    return b"\r\n".join([b"GET " + path + b" " + version, b"Host: x", b"Connection: close", *headers, b"", b""])


UNPARSED = {
    "long line": (get(b"/" + b"x" * 9000), 414),
    "long header": (get(b"/healthz", b"X: " + b"x" * 9000), 431),
    "many headers": (get(b"/healthz", *[b"X-%d: 1" % n for n in range(200)]), 431),
    "header without a name": (get(b"/healthz", b": x"), 400),
    "header with a space": (get(b"/healthz", b"X Y: x"), 400),
    "folded header": (get(b"/healthz", b"X: a", b" b"), 400),
    "lower-case method": (b"get / HTTP/1.1\r\n\r\n", 400),
    "no version": (b"GET /\r\n\r\n", 400),
    "version 9": (get(version=b"HTTP/9.9"), 400),
    "two lengths": (get(b"/healthz", b"Content-Length: 1", b"Content-Length: 2"), 400),
    "length and chunks": (get(b"/healthz", b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400),
    "unknown transfer coding": (get(b"/healthz", b"Transfer-Encoding: foo"), 400),
    "unknown expectation": (get(b"/healthz", b"Expect: foo"), 417),
    "garbage": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
}


def test_what_never_reaches_the_app_is_answered_as_json_too(sqlite_url: sa.URL, tmp_path: Path) -> None:
    with web(sqlite_url, tmp_path / "web.log") as address:
        for name, (request, status) in UNPARSED.items():
            head, _, body = exchange(address, request).partition(b"\r\n\r\n")
            assert head.split()[1] == str(status).encode(), (name, head)
            assert json.loads(body).keys() == {"error", "message", "details", "requestId"}, name
            assert b"application/json" in head, name
        assert requests.get(f"{address}/healthz", timeout=9).json() == {"status": "ok"}


def test_a_path_is_not_rewritten_by_a_header(sqlite_url: sa.URL, tmp_path: Path) -> None:
    with web(sqlite_url, tmp_path / "web.log") as address:
        for header in (b"SCRIPT_NAME: /foo", b"SCRIPT_NAME: /api", b"PATH_INFO: /none"):
            answer = exchange(address, get(b"/api/config/flags", header))
            assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400")), (header, answer)


def test_half_sent_requests_hold_nobody_for_long(sqlite_url: sa.URL, tmp_path: Path) -> None:
    with web(sqlite_url, tmp_path / "web.log") as address:
        host, _, port = address.removeprefix("http://").partition(":")
        half = [socket.create_connection((host, int(port)), timeout=30) for _ in range(12)]
        for connection in half:
            connection.sendall(b"GET /healthz HT")

        assert requests.get(f"{address}/healthz", timeout=25).status_code == 200

        for connection in half:
            connection.close()


def test_no_answer_tells_what_serves_it(sqlite_url: sa.URL, tmp_path: Path) -> None:
    with web(sqlite_url, tmp_path / "web.log") as address:
        for path in ("/healthz", "/api/config/flags", "/api/admin/flags", "/none"):
            answer = requests.get(address + path, timeout=9)
            assert not re.search(r"(?i)gunicorn|werkzeug|flask/|python", f"{answer.headers} {answer.text}")
            assert answer.headers["Server"] == "flagsched"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_command_line_refuses_what_is_wrong_by_name(sqlite_url: sa.URL) -> None:
    short = subprocess.run(
        [sys.executable, "-m", "flagsched", "token", "--subject", "ada"],
        cwd=ROOT, env=environment(sqlite_url, JWT_SECRET_KEY="short"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    unknown = run_flagsched(sqlite_url, "db", "upgrade", "9999")

    nameless = run_flagsched(sqlite_url, "token", "--subject", "a\nb")

    assert (nameless.returncode, nameless.stdout) == (1, "")
    assert (short.returncode, "JWT_SECRET_KEY" in short.stderr) == (2, True)
    assert (unknown.returncode, "Traceback" in unknown.stderr) == (1, False)


def test_the_schema_is_brought_up_from_the_command_line(url: sa.URL) -> None:
    for command in (["downgrade", "base"], ["upgrade"]):
        done = run_flagsched(url, "db", *command)
        assert done.returncode == 0, done.stderr
