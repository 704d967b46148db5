"""What is SQLite's own: one writer at a time, from its BEGIN on, and the index that it takes."""

from time import monotonic
from typing import Any

import pytest
import sqlalchemy as sa

from flagsched.database.clock import HostClock
from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import FlagBusy
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.flags import create_flag, read_flag
from flagsched.usecases.materialise import materialise_due
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_new_flag
from tests.contract.records import a_planned_flag


def test_a_writer_begins_only_once_no_other_is_writing(sqlite_url: sa.URL) -> None:
    engine = open_engine(sqlite_url, Limits())
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 50"))
    store = SqlStore(engine)
    create_flag(a_new_flag(), by=ADMIN, store=store)

    with store.writing():
        assert read_flag(CHECKOUT, store=store).flag.name == CHECKOUT
        with pytest.raises(FlagBusy), store.writing():
            pytest.fail("it began")

    engine.dispose()


def test_recording_goes_by_the_index_of_what_is_pending(sqlite_url: sa.URL) -> None:
    engine = open_engine(sqlite_url, Limits())
    clock = ManualClock()
    store = SqlStore(engine, HostClock(clock))
    for n in range(20):
        a_planned_flag(store, f"flag-{n}", *range(1, 12))
        a_planned_flag(store, f"idle-{n}", *range(2000, 2050))
    clock.advance(minutes=1)
    executed: list[tuple[str, Any]] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *given: executed.append((given[2], given[3])))

    assert materialise_due(store, Backoff(monotonic)).flags == 20

    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        ways = [
            way[3]
            for statement, given in executed
            if "feature_flag_schedules" in statement
            for way in driver.execute(f"EXPLAIN QUERY PLAN {statement}", given)
        ]
    assert [way for way in ways if "ix_feature_flag_schedules_flag_id_scheduled_at" in way] == []
    assert any("ix_feature_flag_schedules_pending" in way for way in ways)
    engine.dispose()
