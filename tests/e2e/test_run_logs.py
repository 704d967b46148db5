"""What `flagsched run` shows of its processes' logs: lines for people on a terminal, JSON elsewhere."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import requests
import sqlalchemy as sa

from tests.processes import PATIENCE_SECONDS, a_token, environment, free_port, started, until

COLOURS = re.compile(r"\x1b\[\d*(;\d+)*m")
LINE = re.compile(r"^\d\d:\d\d:\d\d (?:web|worker) +\| (.*)\n", flags=re.MULTILINE)


class Terminal:
    """A terminal, and what has been written to it."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        self.text = ""
        Thread(target=self._read, daemon=True).start()

    @property
    def plain(self) -> str:
        return COLOURS.sub("", self.text)

    def _read(self) -> None:
        try:
            while shown := os.read(self._ours, 65536):
                self.text += shown.decode().replace("\r\n", "\n")
        except OSError:
            pass  # Nobody writes to it any more.


@contextmanager
def run_on_a_terminal(url: sa.URL, folder: Path) -> Iterator[tuple[str, Terminal, "subprocess.Popen[bytes]"]]:
    port, terminal = free_port(), Terminal()
    command = [sys.executable, "-m", "flagsched", "run", "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(url), stdout=terminal.theirs, stderr=terminal.theirs, stdin=terminal.theirs
    )
    os.close(terminal.theirs)
    try:
        until(lambda: "sleep 2; done" in terminal.text, seconds=60, what="the lines to paste")
        yield f"http://127.0.0.1:{port}", terminal, process
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def send_raw(address: str, sent: bytes) -> None:
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=9) as connection:
        connection.sendall(sent)
        connection.recv(1024)


LAST = ("401", "worker started")


def lines_of(terminal: Terminal) -> list[str]:
    """The lines that are whole."""
    return LINE.findall(terminal.plain)


def test_on_a_terminal_the_log_is_for_people(sqlite_url: sa.URL, tmp_path: Path) -> None:
    with run_on_a_terminal(sqlite_url, tmp_path) as (address, terminal, _):
        requests.get(f"{address}/api/config/flags", timeout=9)
        requests.get(f"{address}/api/admin/flags", timeout=9)
        send_raw(address, b"G\x1b]0;owned\x07ET / HTTP/1.1\r\n\r\n")
        send_raw(address, f"GET / {a_token()}\r\n\r\n".encode())
        until(
            lambda: all(any(text in line for line in LINE.findall(terminal.plain)) for text in LAST), what="all lines"
        )

    lines = LINE.findall(terminal.plain)
    told = next(line for line in lines if "/api/config/flags" in line)
    refused = next(line for line in lines if "request refused" in line)
    assert re.fullmatch(r"\[info *\] request GET /api/config/flags 200 milliseconds=[\d.]+", told)
    assert "error=UNAUTHORIZED cause='a valid token is needed" in refused
    assert re.search(r"request_id=[0-9a-f]{32}", refused)
    assert any("worker started" in line for line in lines)
    assert not any(line.startswith("{") for line in lines)
    assert COLOURS.search(terminal.text)
    # No control character of a caller reaches the terminal, and no token.
    assert set(re.findall(r"[^\n\x20-\x7e]", terminal.plain)) == set()
    assert a_token()[:20] not in "\n".join(lines)


def test_elsewhere_the_log_is_json(sqlite_url: sa.URL, tmp_path: Path) -> None:
    port = str(free_port())
    command = [sys.executable, "-m", "flagsched", "run", "--port", port]
    with started(command, tmp_path / "run.log", environment(sqlite_url), cwd=tmp_path) as running:
        awaited = {'"route": "/readyz"', '"event": "worker started"'}
        until(lambda: all(one in running.log for one in awaited), seconds=60, what="both are ready")
        running.stop()

    lines = [json.loads(line) for line in LINE.findall(running.log)]
    assert {"worker started", "request", "worker stopped"} <= {line["event"] for line in lines}
    assert not COLOURS.search(running.log)


def test_after_ctrl_c_each_process_says_that_it_ended_well(sqlite_url: sa.URL, tmp_path: Path) -> None:
    with run_on_a_terminal(sqlite_url, tmp_path) as (_, terminal, process):
        until(lambda: "] worker started" in terminal.plain, what="the worker")
        process.send_signal(signal.SIGINT)
        code = process.wait(PATIENCE_SECONDS)
        until(lambda: terminal.plain.count("stopped (rc=") == 2, what="both have ended")

    assert code == 130
    assert set(re.findall(r"(\w+) stopped \(rc=(-?\d+)\)", terminal.plain)) == {("web", "0"), ("worker", "0")}
