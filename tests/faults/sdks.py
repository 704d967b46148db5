"""Applications that ask over OFREP: what they are told of all flags at once, and between which instants."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from threading import Event
from urllib.parse import urlsplit

import orjson

ASKED = b'{"context":{"targetingKey":"ada"}}'
HEADERS = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Told:
    """One answer: the versions of all flags, the first change ahead, and when it was asked for and had come here."""

    asked_at: datetime
    answered_at: datetime
    versions: dict[str, int]
    next_change_at: datetime | None


@contextmanager
def connected(address: str) -> Iterator[HTTPConnection]:
    connection = HTTPConnection(urlsplit(address).netloc, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def ask_all(connection: HTTPConnection, environment: str = "production") -> Told:
    asked_at = datetime.now(UTC)
    connection.request("POST", f"/ofrep/v1/evaluate/flags?environment={environment}", ASKED, HEADERS)
    answer = connection.getresponse()
    body = answer.read()
    answered_at = datetime.now(UTC)
    assert answer.status == 200, body
    told = {one["key"]: one["metadata"] for one in orjson.loads(body)["flags"]}
    ahead = (datetime.fromisoformat(one["nextChangeAt"]) for one in told.values() if "nextChangeAt" in one)
    return Told(asked_at, answered_at, {key: one["version"] for key, one in told.items()}, min(ahead, default=None))


@contextmanager
def asking(*addresses: str, effective: int = 1, environment: str = "production") -> Iterator[list[Told]]:
    """Ask each address in so many tight loops as long as the block runs; gives what they are told."""
    told: list[Told] = []
    over = Event()

    def ask(address: str) -> None:
        with connected(address) as connection:
            while not over.is_set():
                told.append(ask_all(connection, environment))

    with ThreadPoolExecutor(len(addresses) * effective) as threads:
        loops = [threads.submit(ask, address) for address in addresses * effective]
        try:
            yield told
        finally:
            over.set()
    for loop in loops:
        loop.result()
