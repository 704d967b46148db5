"""One flag cannot be recorded for a while, is locked, or refuses to be changed: that is its own trouble alone."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event
from time import monotonic

import psutil
import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from tests.faults.agendas import (
    Steps,
    all_applied,
    assert_recorded_once_in_order,
    create,
    in_steps,
    lateness,
    now,
    plan,
)
from tests.faults.readers import as_admin, assert_seen_at_its_instant, look, watching
from tests.processes import until, web, worker
from tests.rows import all_schedules

REFUSE = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$"
REFUSE_RECORDS = """
    CREATE TRIGGER refuse BEFORE INSERT ON feature_flag_history FOR EACH ROW
    WHEN (NEW.action = 'schedule.applied' AND NEW.flag_key = 'bad') EXECUTE FUNCTION refuse()
"""
REFUSE_CHANGES = """
    CREATE TRIGGER refuse BEFORE UPDATE ON feature_flags FOR EACH ROW WHEN (OLD.key = 'bad') EXECUTE FUNCTION refuse()
"""


@pytest.fixture
def somebody(postgresql_url: sa.URL) -> Iterator[sa.Engine]:
    """Whose transactions last as long as he likes."""
    engine = sa.create_engine(postgresql_url)
    yield engine
    engine.dispose()


@pytest.fixture
def quiet_seconds(request: pytest.FixtureRequest) -> float:
    return 15 if request.config.getoption("--long") else 5


@contextmanager
def trouble(engine: sa.Engine, trigger: str, table: str) -> Iterator[None]:
    """The database refuses it while the block runs."""
    with engine.begin() as connection:
        connection.exec_driver_sql(REFUSE)
        connection.exec_driver_sql(trigger)
    yield
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TRIGGER refuse ON {table}")
        connection.exec_driver_sql("DROP FUNCTION refuse")


def p95(times: list[timedelta]) -> float:
    """In milliseconds."""
    return times[len(times) * 95 // 100] / timedelta(milliseconds=1)


def fall_due(store: SqlStore, engine: sa.Engine, planned: dict[str, Steps], keys: list[str]) -> None:
    """Plan two seconds of changes of these flags and the bad one, and wait until these are recorded."""
    begin = now(store) + timedelta(seconds=1)
    for n, key in enumerate(["bad", *keys]):
        steps = in_steps(begin + n * timedelta(milliseconds=5), 20, apart=0.1)
        plan(store, key, steps)
        planned.setdefault(key, []).extend(steps)
    until(lambda: len(lateness(engine, keys)) == 20 * len(keys), what="the others are recorded")


def test_a_flag_whose_record_fails_for_a_while_is_read_as_planned_and_delays_no_other(
    store: SqlStore, engine: sa.Engine, tmp_path: Path, all_is_well: Callable[[], bool]
) -> None:
    calm, troubled = ([f"{kind}-{n}" for n in range(20)] for kind in ("calm", "troubled"))
    create(store, "bad", *calm, *troubled)
    planned: dict[str, Steps] = {}

    with (
        worker(engine.url, tmp_path / "worker.log") as running,
        web(engine.url, tmp_path / "web.log") as address,
        watching(address, "bad") as seen,
    ):
        until(lambda: seen["bad"], what="the reader is served")
        fall_due(store, engine, planned, calm)
        with trouble(engine, REFUSE_RECORDS, "feature_flag_history"):
            fall_due(store, engine, planned, troubled)
            recorded_amid_trouble = len(lateness(engine, ["bad"]))
        until(lambda: all_applied(engine), seconds=10, what="all is recorded")
        assert "not this one" in running.log

    assert recorded_amid_trouble == 20
    assert_seen_at_its_instant(seen["bad"], planned["bad"])
    assert len({one.version for one in seen["bad"]}) > 30
    assert p95(lateness(engine, troubled)) < 3 * p95(lateness(engine, calm)) + 50
    assert_recorded_once_in_order(engine, planned)
    assert all_is_well()


@contextmanager
def locked(engine: sa.Engine, key: str) -> Iterator[None]:
    """Somebody keeps a flag's row in a transaction of his while the block runs."""
    with engine.connect() as somebody:
        somebody.exec_driver_sql("SELECT 1 FROM feature_flags WHERE key = %s FOR UPDATE", (key,))
        yield


def cpu_share(process: psutil.Process, seconds: float) -> float:
    """What it works of that time."""
    before, began = process.cpu_times(), monotonic()
    Event().wait(seconds)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / (monotonic() - began)


def test_flags_that_are_locked_or_refuse_to_change_delay_no_other_and_keep_no_worker_busy(
    store: SqlStore,
    engine: sa.Engine,
    somebody: sa.Engine,
    quiet_seconds: float,
    tmp_path: Path,
    all_is_well: Callable[[], bool],
) -> None:
    create(store, "bad", "locked", "free")

    with (
        worker(engine.url, tmp_path / "worker.log") as running,
        web(engine.url, tmp_path / "web.log") as address,
        as_admin() as admin,
    ):
        look(admin, address, "free")
        begin = now(store) + timedelta(seconds=1)
        planned = {key: in_steps(begin, 1, apart=0) for key in ("bad", "locked")}
        planned["free"] = in_steps(begin + timedelta(seconds=0.5), int(quiet_seconds / 2) + 1, apart=2)
        for key, steps in planned.items():
            plan(store, key, steps)
        with (
            trouble(engine, REFUSE_CHANGES, "feature_flags"),
            locked(somebody, "locked"),
            ThreadPoolExecutor(1) as writer,
        ):
            flag = f"{address}/api/admin/flags/locked"
            writing = writer.submit(admin.patch, flag, json={"enabled": True}, timeout=10)
            share = cpu_share(psutil.Process(running.process.pid), quiet_seconds)
            refused = writing.result()
            assert [s.status for s in all_schedules(engine)][:2] == ["pending"] * 2
            released_at = now(store)
        until(lambda: all_applied(engine), seconds=2 * quiet_seconds + 10, what="all is recorded")

    assert (refused.status_code, refused.json()["error"]) == (503, "FLAG_BUSY")
    assert 2.5 < refused.elapsed.total_seconds() < 4
    assert share < 0.05
    assert lateness(engine, ["free"])[-1] < timedelta(seconds=0.5)
    assert begin + lateness(engine, ["locked"])[0] - released_at < timedelta(seconds=1)
    assert_recorded_once_in_order(engine, planned)
    assert all_is_well()
