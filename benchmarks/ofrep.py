"""OFREP over HTTP: our routes beside routes that hardly do anything, in equal servers of one process."""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa

from benchmarks import databases, seeds
from benchmarks.clients import NOT_MODIFIED, OK, Clients, fetch, post
from benchmarks.figures import Figure, interleaved
from benchmarks.plain_ofrep import FLAGS, PERCENTAGES
from tests import processes

CONNECTIONS = 16
ROUND_SECONDS = 2.0
USERS = 1000
OURS = "/ofrep/v1/evaluate/flags"
GRANIAN = ("-m", "granian", "--interface", "wsgi", "--workers", "1", "--blocking-threads", "8", "--host", "127.0.0.1")
HEADERS = {"Content-Type": "application/json"}

Serve = Callable[[sa.URL, Path, str], AbstractContextManager[int]]


def measure() -> list[Figure]:
    """Requests a second over 16 connections, on gunicorn and on granian."""
    with databases.postgresql() as server, Clients(1, CONNECTIONS) as clients:
        engine = databases.fresh(server)
        seeds.evaluated(engine, percentages=PERCENTAGES, constant=FLAGS - PERCENTAGES)
        with _serving(_gunicorn, engine.url) as (ours, plain):
            figures = [
                _single(clients, "gunicorn", ours, plain, "/constant/flags", "at least 0.85"),
                _bulk(clients, "gunicorn", ours, plain, "/constant/flags", "at least 0.8"),
                _unchanged(clients, ours),
            ]
        with _serving(_granian, engine.url) as (ours, plain):
            figures += [
                _single(clients, "granian", ours, plain, "/hashed/flags", "at least 0.8"),
                _bulk(clients, "granian", ours, plain, "/hashed/flags", "at least 0.8"),
            ]
        engine.dispose()
    return figures


def _single(clients: Clients, server: str, ours: int, plain: int, path: str, wanted: str) -> Figure:
    return _beside(
        clients,
        f"OFREP, one flag, {server}",
        (ours, [_request(f"{OURS}/{_percentage(n)}", n) for n in range(USERS)]),
        (plain, [_request(f"{path}/{_percentage(n)}", n) for n in range(USERS)]),
        wanted,
    )


def _bulk(clients: Clients, server: str, ours: int, plain: int, path: str, wanted: str) -> Figure:
    return _beside(
        clients,
        f"OFREP, all of {FLAGS} flags, {server}",
        (ours, [_request(OURS, n) for n in range(USERS)]),
        (plain, [_request(path, n) for n in range(USERS)]),
        wanted,
    )


def _beside(
    clients: Clients, name: str, ours: tuple[int, list[bytes]], plain: tuple[int, list[bytes]], wanted: str
) -> Figure:
    return interleaved(
        name,
        "requests/s",
        lambda: clients.requests_per_second(*ours, ROUND_SECONDS, expected=OK),
        lambda: clients.requests_per_second(*plain, ROUND_SECONDS, expected=OK),
        wanted,
    )


def _unchanged(clients: Clients, port: int) -> Figure:
    """Requests whose answer the caller has cached, beside the same requests of one that has not."""
    plain = [_request(OURS, n) for n in range(CONNECTIONS)]
    conditional = [_request(OURS, n, {"If-None-Match": _etag(fetch(port, request))}) for n, request in enumerate(plain)]
    return interleaved(
        "OFREP, 304 beside 200, gunicorn",
        "requests/s",
        lambda: clients.requests_per_second(port, conditional, ROUND_SECONDS, expected=NOT_MODIFIED),
        lambda: clients.requests_per_second(port, plain, ROUND_SECONDS, expected=OK),
        "at least 1.0",
    )


def _request(path: str, user: int, headers: dict[str, str] | None = None) -> bytes:
    body = json.dumps({"context": {"targetingKey": f"user-{user}", "email": f"user-{user}@example.org"}})
    return post(path, HEADERS | (headers or {}), body.encode())


def _percentage(number: int) -> str:
    return f"flag-{1 + number % PERCENTAGES}"


def _etag(answer: bytes) -> str:
    head = answer.partition(b"\r\n\r\n")[0].decode()
    return next(line.partition(": ")[2] for line in head.split("\r\n") if line.lower().startswith("etag:"))


@contextmanager
def _serving(serve: Serve, url: sa.URL) -> Iterator[tuple[int, int]]:
    """Our app and the plain one; gives their ports."""
    with (
        tempfile.TemporaryDirectory() as logs,
        serve(url, Path(logs) / "ours.log", "wsgi:app") as ours,
        serve(url, Path(logs) / "plain.log", "benchmarks.plain_ofrep:app") as plain,
    ):
        yield ours, plain


@contextmanager
def _gunicorn(url: sa.URL, log: Path, app: str) -> Iterator[int]:
    with processes.web(url, log, arguments=("-m", "gunicorn", app)) as address:
        port = urlsplit(address).port
        assert port is not None
        yield port


@contextmanager
def _granian(url: sa.URL, log: Path, app: str) -> Iterator[int]:
    port = processes.free_port()
    command = [sys.executable, *GRANIAN, "--port", str(port), app]
    with processes.started(command, log, processes.environment(url)) as running:
        running.wait_for_log("Started worker-1")
        yield port
