"""What recording and looking stand on, with time that passes only by the manual clock."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.flags import create_flag
from tests.builders import ADMIN, ManualClock, a_new_flag
from tests.databases import administer

TERMINATE = "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE datname = '{}'"
Away = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def backoff(clock: ManualClock) -> Backoff:
    return Backoff(lambda: clock().timestamp())


@pytest.fixture
def _flag(store: SqlStore) -> None:
    create_flag(a_new_flag(enabled=True), by=ADMIN, store=store)


@pytest.fixture
def away(request: pytest.FixtureRequest, url: sa.URL, engine: sa.Engine) -> Away:
    """For the length of a block nobody can connect, and whoever was connected is no more."""

    @contextmanager
    def sqlite() -> Iterator[None]:
        file = Path(str(url.database))
        engine.dispose()
        aside = file.rename(file.with_suffix(".aside"))
        file.mkdir()
        yield
        file.rmdir()
        aside.rename(file)

    @contextmanager
    def postgresql() -> Iterator[None]:
        server: sa.URL = request.getfixturevalue("postgresql")
        administer(server, f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS false", TERMINATE.format(url.database))
        yield
        administer(server, f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS true")

    return {"sqlite": sqlite, "postgresql": postgresql}[engine.dialect.name]


@pytest.fixture
def told() -> list[Exception | None]:
    """What `looking` tells of its looks."""
    return []


@pytest.fixture
def refresher(store: SqlStore, clock: ManualClock, told: list[Exception | None]) -> Iterator[SnapshotRefresher]:
    """As everywhere, but it tells how its looks go."""
    refresher = SnapshotRefresher(store, monotonic=lambda: clock().timestamp(), on_problem=told.append)
    yield refresher
    refresher.close()
