"""One client of a service with two web processes: no answer tells an older version than the one before it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Event

import pytest
import requests
import sqlalchemy as sa

from tests.faults.readers import as_admin
from tests.faults.sdks import ask_all, connected
from tests.processes import web

EDIT_SECONDS = 0.05


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> sa.URL:
    fresh: sa.URL = request.getfixturevalue(f"{request.param}_url")
    return fresh


@pytest.fixture
def edits(request: pytest.FixtureRequest) -> int:
    return 400 if request.config.getoption("--long") else 60


def edit(address: str, times: int) -> None:
    """Turn the flag on and off, by a new connection each time, as many clients would."""
    with as_admin() as admin:
        headers = dict(admin.headers) | {"Connection": "close"}
        for n in range(times):
            body = {"enabled": n % 2 == 0}
            answer = requests.patch(f"{address}/api/admin/flags/a", json=body, headers=headers, timeout=10)
            assert answer.status_code == 200, answer.text
            Event().wait(EDIT_SECONDS)


def versions(addresses: Iterator[str], over: Event) -> list[int]:
    """What one client is told, read after read, each on a new connection."""
    told: list[int] = []
    while not over.is_set():
        with connected(next(addresses)) as connection:
            told.append(ask_all(connection).versions["a"])
    return told


def falls(told: list[int]) -> list[tuple[int, int]]:
    return [(one, next_one) for one, next_one in pairwise(told) if next_one < one]


def told_over_edits(addresses: list[str], times: int) -> list[int]:
    """The versions that one client was told while a flag was edited so many times."""
    over = Event()
    with as_admin() as admin:
        admin.post(f"{addresses[0]}/api/admin/flags", json={"key": "a"}, timeout=30).raise_for_status()

    def in_turns() -> Iterator[str]:
        while True:
            yield from addresses

    for address in addresses * 20:
        with connected(address) as connection:
            ask_all(connection)
    Event().wait(1)
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(versions, in_turns(), over)
        try:
            edit(addresses[0], times)
            Event().wait(1)
        finally:
            over.set()
        return reading.result()


def test_a_client_of_one_server_with_two_processes_never_reads_an_older_version(
    url: sa.URL, tmp_path: Path, edits: int
) -> None:
    with web(url, tmp_path / "web.log", WEB_CONCURRENCY="2") as address:
        told = told_over_edits([address], edits)

    assert falls(told) == []
    assert told[-1] == edits + 1
    assert len(told) > 10 * edits


def test_nor_does_a_client_of_two_servers_on_one_host(url: sa.URL, tmp_path: Path, edits: int) -> None:
    with web(url, tmp_path / "one.log") as one, web(url, tmp_path / "two.log") as two:
        told = told_over_edits([one, two], edits)

    assert falls(told) == []
    assert told[-1] == edits + 1
    assert len(told) > 10 * edits
