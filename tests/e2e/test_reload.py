"""A HUP, and a process that dies: applications are answered meanwhile, as quickly as ever."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import psutil
import pytest
import sqlalchemy as sa

from tests.processes import ROOT, Running, environment, free_port, started, until
from tests.tokens import jwk, jwks

BOOT_SECONDS = 60
"""Also on a busy machine."""
CONF = """
exec(compile(open({conf!r}).read(), {conf!r}, "exec"))
raw_env = {raw_env!r}
{more}
"""


def configure(conf: Path, *raw_env: str, more: str = "") -> None:
    """The repository's gunicorn.conf.py, with something more."""
    conf.write_text(CONF.format(conf=str(ROOT / "gunicorn.conf.py"), raw_env=list(raw_env), more=more))


class Server:
    """A gunicorn of two processes, whose gunicorn.conf.py can be changed."""

    def __init__(self, running: Running, port: int, conf: Path) -> None:
        self.running = running
        self.port = port
        self.conf = conf

    def workers(self) -> set[int]:
        return {child.pid for child in psutil.Process(self.running.process.pid).children()}

    def get(self, path: str = "/api/config/flags") -> int:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=BOOT_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def cache_control(self) -> str | None:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=BOOT_SECONDS)
        try:
            connection.request("GET", "/api/config/flags")
            return connection.getresponse().headers["Cache-Control"]
        finally:
            connection.close()

    def hang_up(self) -> None:
        self.running.process.send_signal(signal.SIGHUP)

    def replaced(self, before: set[int]) -> None:
        """Wait until all processes are others."""
        until(lambda: len(self.workers()) == 2 and not self.workers() & before, seconds=BOOT_SECONDS, what="replaced")


@contextmanager
def serving(url: sa.URL, tmp_path: Path, **variables: str) -> Iterator[Server]:
    port, conf = free_port(), tmp_path / "conf.py"
    env = environment(url, HOST="127.0.0.1", PORT=str(port), WEB_CONCURRENCY="2", **variables)
    command = [sys.executable, "-m", "gunicorn", "--config", str(conf), "wsgi:app"]
    configure(conf)
    with started(command, tmp_path / "web.log", env) as running:
        server = Server(running, port, conf)
        until(lambda: running.log.count("Booting worker") == 2, seconds=BOOT_SECONDS)
        server.get()
        yield server


@pytest.fixture
def server(sqlite_url: sa.URL, tmp_path: Path) -> Iterator[Server]:
    with serving(sqlite_url, tmp_path) as server:
        yield server


def both_answer(server: Server) -> bool:
    """Have both processes come so far that their threads run?"""
    return all(psutil.Process(pid).num_threads() > 1 for pid in server.workers()) and len(server.workers()) == 2


class Asking:
    """A GET each 10 ms, by new connections: how long each took, and what went wrong."""

    def __init__(self, server: Server) -> None:
        self.waited: list[float] = []
        self.refused: list[object] = []
        self._server = server
        self._over = Event()
        self._threads = [Thread(target=self._ask) for _ in range(2)]

    def _ask(self) -> None:
        while not self._over.wait(0.01):
            began_at = monotonic()
            try:
                status = self._server.get()
            except (OSError, HTTPException) as error:
                self.refused.append(error)
            else:
                if status != 200:
                    self.refused.append(status)
            self.waited.append(monotonic() - began_at)

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()


@contextmanager
def busy_machine() -> Iterator[None]:
    """Two loops that do nothing, for a minute at most."""
    loop = "import time; end = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    loops = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(2)]
    try:
        yield
    finally:
        for process in loops:
            process.kill()
            process.wait()


def test_a_hup_on_a_busy_machine_keeps_nobody_waiting(server: Server) -> None:
    before = server.workers()
    asking = Asking(server)
    with busy_machine(), asking.meanwhile():
        server.hang_up()
        server.replaced(before)
        sleep(1)

    assert asking.refused == []
    assert max(asking.waited) < 1
    assert len(asking.waited) > 100


def test_a_hup_brings_new_settings_and_bad_ones_change_nothing(server: Server) -> None:
    asking = Asking(server)
    with asking.meanwhile():
        first = server.workers()
        configure(server.conf, "FLAGSCHED_HORIZON_DAYS=never")
        server.hang_up()
        server.running.wait_for_log("cannot reload, the old workers go on")
        until(lambda: server.workers() == first, seconds=BOOT_SECONDS, what="only the old ones are left")
        os.kill(min(first), signal.SIGKILL)
        until(lambda: len(server.workers() - first) == 1, seconds=BOOT_SECONDS, what="a new process, as before")
        until(lambda: both_answer(server), seconds=BOOT_SECONDS, what="it answers too")
        first = server.workers()

        configure(server.conf, more="workers = number('WEB_CONCURRENCY', 2)(")
        server.hang_up()
        server.running.wait_for_log("cannot reload, going on with the settings as they were")
        assert server.workers() == first

        configure(server.conf, "FLAGSCHED_EVALUATION_MAX_AGE=0")
        server.hang_up()
        server.replaced(first)
        kept = {server.cache_control() for _ in range(20)}

    assert kept == {"private, max-age=0"}
    assert len(asking.refused) <= 2  # What the one that was killed was about to answer.
    assert max(asking.waited) < 1
    assert server.running.stop() == 0


def test_a_process_that_cannot_start_again_stops_no_other(sqlite_url: sa.URL, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(jwk("first")))
    variables = {"JWT_ALGORITHM": "RS256", "JWT_ISSUER": "https://x/", "JWT_AUDIENCE": "x", "JWT_JWKS": str(keys)}
    with serving(sqlite_url, tmp_path, **variables) as server:
        until(lambda: both_answer(server), seconds=BOOT_SECONDS, what="both answer")
        before = server.workers()
        keys.rename(tmp_path / "aside.json")
        os.kill(min(before), signal.SIGKILL)
        server.running.wait_for_log("cannot start a worker, the others go on")
        without = [server.get() for _ in range(20)]

        (tmp_path / "aside.json").rename(keys)
        until(lambda: len(server.workers()) == 2 and both_answer(server), seconds=BOOT_SECONDS, what="two again")

    assert without == [200] * 20


def test_a_process_that_dies_is_replaced_while_the_other_answers(server: Server) -> None:
    before = server.workers()
    asking = Asking(server)
    with asking.meanwhile():
        os.kill(min(before), signal.SIGKILL)
        until(lambda: len(server.workers() - before) == 1, seconds=BOOT_SECONDS, what="a new process")
        sleep(1)

    # What the process was about to answer is lost with it.
    assert len(asking.refused) <= 2
    assert max(asking.waited) < 1
