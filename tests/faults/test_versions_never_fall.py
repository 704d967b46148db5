"""One client of several web processes: no answer tells an older version than the one before it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from itertools import count, cycle, pairwise
from pathlib import Path
from threading import Event

import pytest
import requests
import sqlalchemy as sa

from tests.faults.readers import as_admin
from tests.faults.sdks import ASKED, HEADERS, connected
from tests.processes import until, web

EDIT_SECONDS = 0.05
EDITS = 200
READS = 10_000
BOOT_SECONDS = 60


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> sa.URL:
    fresh: sa.URL = request.getfixturevalue(f"{request.param}_url")
    return fresh


class Reader:
    """A client that asks again and again with the ETag of its last answer, and notes the version that it is told."""

    def __init__(self) -> None:
        self.versions: list[int] = []
        self._etag = ""

    def read(self, connection: HTTPConnection) -> None:
        headers = HEADERS | ({"If-None-Match": self._etag} if self._etag else {})
        connection.request("POST", "/ofrep/v1/evaluate/flags", ASKED, headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status in {200, 304}, body
        version = self.versions[-1] if answer.status == 304 else json.loads(body)["flags"][0]["metadata"]["version"]
        self._etag = answer.headers["ETag"]
        self.versions.append(version)


def create_flag(address: str) -> None:
    with as_admin() as admin:
        admin.post(f"{address}/api/admin/flags", json={"key": "a"}, timeout=BOOT_SECONDS).raise_for_status()


def wait_until_known(address: str) -> None:
    until(lambda: requests.get(f"{address}/api/config/flags/a", timeout=BOOT_SECONDS).ok, what="the flag is known")


def edit(address: str, over: Event, times: int | None = None) -> int:
    """Turn the flag on and off, by a new connection each time, until it is over; gives the last version."""
    with as_admin() as admin:
        headers = dict(admin.headers) | {"Connection": "close"}
    for n in count() if times is None else range(times):
        body = {"enabled": n % 2 == 0}
        answer = requests.patch(f"{address}/api/admin/flags/a", json=body, headers=headers, timeout=10)
        assert answer.status_code == 200, answer.text
        if over.wait(EDIT_SECONDS):
            break
    version: int = answer.json()["version"]
    return version


def read_until(last: int, read_once: Callable[[], None], reader: Reader) -> None:
    def has_come() -> bool:
        read_once()
        return reader.versions[-1] == last

    until(has_come, what="the last edit is read")


def falls(versions: list[int]) -> list[tuple[int, int]]:
    return [(one, following) for one, following in pairwise(versions) if following < one]


def test_a_client_of_one_server_with_two_processes_never_reads_an_older_version_in_200_edits(
    url: sa.URL, tmp_path: Path
) -> None:
    reader = Reader()

    def read_once(address: str) -> None:
        # By a new connection each time: either process may answer.
        with connected(address) as connection:
            reader.read(connection)

    with web(url, tmp_path / "web.log", WEB_CONCURRENCY="2") as address:
        create_flag(address)
        wait_until_known(address)
        with ThreadPoolExecutor(1) as threads:
            editing = threads.submit(edit, address, Event(), EDITS)
            while not editing.done():
                read_once(address)
        read_until(EDITS + 1, lambda: read_once(address), reader)

    assert falls(reader.versions) == []
    assert len(reader.versions) > 5 * EDITS


def test_a_client_of_two_servers_on_one_host_never_reads_an_older_version_in_10000_reads(
    url: sa.URL, tmp_path: Path
) -> None:
    reader, over = Reader(), Event()

    with ExitStack() as stack:
        addresses = [stack.enter_context(web(url, tmp_path / f"{name}.log")) for name in ("one", "two")]
        create_flag(addresses[0])
        for address in addresses:
            wait_until_known(address)
        in_turns = cycle([stack.enter_context(connected(address)) for address in addresses])
        with ThreadPoolExecutor(1) as threads:
            editing = threads.submit(edit, addresses[0], over)
            for _ in range(READS):
                reader.read(next(in_turns))
            over.set()
            last = editing.result()
        read_until(last, lambda: reader.read(next(in_turns)), reader)

    assert falls(reader.versions) == []
    assert last > READS / 1000
