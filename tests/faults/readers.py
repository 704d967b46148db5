"""Readers over HTTP: what they are told of a flag, between which instants, and whether it was so."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event

import requests

from tests.processes import a_token


@dataclass(frozen=True, slots=True)
class Seen:
    """What one answer told of a flag; when it was asked for and had come, by this host's clock."""

    asked_at: datetime
    answered_at: datetime
    version: int
    percentage: int
    changed_at: datetime


def as_admin() -> requests.Session:
    """An admin's client, whose token was made an hour ago: good also where the clock is late."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {a_token(ago=3600)}"
    return session


def look(session: requests.Session, address: str, key: str) -> Seen:
    """Ask for a flag."""
    asked_at = datetime.now(UTC)
    answer = session.get(f"{address}/api/admin/flags/{key}", timeout=10)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    return Seen(
        asked_at,
        datetime.now(UTC),
        told["version"],
        told["rolloutPercentage"],
        datetime.fromisoformat(told["updatedAt"]),
    )


@contextmanager
def watching(address: str, *keys: str) -> Iterator[dict[str, list[Seen]]]:
    """One reader for each flag, again and again as long as the block runs; gives what they see."""
    seen: dict[str, list[Seen]] = {key: [] for key in keys}
    over = Event()

    def watch(key: str) -> None:
        with as_admin() as session:
            while not over.wait(0.01):
                seen[key].append(look(session, address, key))

    with ThreadPoolExecutor(len(keys)) as readers:
        reading = [readers.submit(watch, key) for key in keys]
        try:
            yield seen
        finally:
            over.set()
    for reader in reading:
        reader.result()


def assert_seen_at_its_instant(seen: Sequence[Seen], planned: Sequence[tuple[datetime, int]]) -> None:
    """Nothing early, nothing late, no version used twice; `planned` holds the percentages by their instants."""
    for one in seen:
        due = sum(at <= one.asked_at for at, _ in planned)
        assert due <= one.version - 1 <= sum(at <= one.answered_at for at, _ in planned)
        if one.version > 1:
            assert (one.changed_at, one.percentage) == planned[one.version - 2]
