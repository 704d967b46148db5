"""A store on PostgreSQL, and the doctor's judgement when all is over."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.doctor import examine


@pytest.fixture
def url(postgresql_url: sa.URL) -> sa.URL:
    return postgresql_url


@pytest.fixture
def store(engine: sa.Engine) -> SqlStore:
    return SqlStore(engine)


@pytest.fixture
def all_is_well(store: SqlStore) -> Callable[[], bool]:
    """Ask the doctor; it fails with what he names."""

    def ask() -> bool:
        assert [finding for finding in examine(store, datetime.now(UTC)) if not finding.ok] == []
        return True

    return ask
