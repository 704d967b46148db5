"""A store on PostgreSQL that looks at the database's own clock, with one flag, and threads for whoever must wait."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.flags import create_flag
from tests.builders import ADMIN, a_new_flag


@pytest.fixture
def url(postgresql_url: sa.URL) -> sa.URL:
    return postgresql_url


@pytest.fixture
def store(engine: sa.Engine) -> SqlStore:
    store = SqlStore(engine)
    create_flag(a_new_flag(), by=ADMIN, store=store)
    return store


@pytest.fixture
def in_background() -> Iterator[Callable[..., "Future[object]"]]:
    with ThreadPoolExecutor() as pool:
        yield pool.submit
