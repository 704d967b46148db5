"""Real processes: web servers and workers, started for a test and stopped by their ids."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep, time
from uuid import uuid4

import jwt
import sqlalchemy as sa

from tests.builders import SECRET

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 20


def until(condition: Callable[[], object], *, seconds: float = PATIENCE_SECONDS, what: str = "") -> None:
    """Wait for a condition, and fail if it does not come about."""
    give_up_at = monotonic() + seconds
    while not condition():
        assert monotonic() < give_up_at, f"it did not come about: {what or condition}"
        sleep(0.02)


def environment(url: sa.URL, **variables: str) -> dict[str, str]:
    """The environment of a process that works on the database at `url`."""
    return (
        os.environ
        | {"DATABASE_URL": url.render_as_string(hide_password=False), "JWT_SECRET_KEY": SECRET, "PYTHONPATH": str(ROOT)}
        | variables
    )


class Running:
    """A process and what it has written to its log."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_for_log(self, text: str) -> None:
        until(lambda: text in self.log or self.process.poll() is not None, what=text)
        assert text in self.log, self.log

    def stop(self, signum: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal; give the exit code."""
        self.process.send_signal(signum)
        return self.process.wait(timeout=PATIENCE_SECONDS)


@contextmanager
def started(command: list[str], log: Path, env: dict[str, str], cwd: Path = ROOT) -> Iterator[Running]:
    """Run a command in the background, and make sure that it is gone in the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield Running(process, log)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def worker(url: sa.URL, log: Path, *, arguments: Sequence[str] = ("worker.py",), **variables: str) -> Iterator[Running]:
    """`python worker.py`."""
    with started([sys.executable, *arguments], log, environment(url, **variables)) as running:
        running.wait_for_log("worker started")
        yield running


@contextmanager
def web(
    url: sa.URL, log: Path, *, arguments: Sequence[str] = ("-m", "gunicorn", "wsgi:app"), **variables: str
) -> Iterator[str]:
    """`gunicorn wsgi:app` on a free port of the loopback; gives its address."""
    port = str(free_port())
    env = environment(url, **{"HOST": "127.0.0.1", "PORT": port, "WEB_CONCURRENCY": "1"} | variables)
    with started([sys.executable, *arguments], log, env) as running:
        running.wait_for_log("Booting worker")
        yield f"http://127.0.0.1:{port}"


def a_token(subject: str = "ada", *, role: str = "admin", ago: int = 0) -> str:
    """A token for the web processes of this module, made so many seconds ago and good for an hour from now."""
    now = int(time())
    claims = {
        "sub": subject,
        "role": role,
        "type": "access",
        "jti": uuid4().hex,
        "iat": now - ago,
        "exp": now + 3600,
    }
    return jwt.encode(claims, SECRET, algorithm="HS256")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
