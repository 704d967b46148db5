"""The database's clock is set back and forward, and whole days pass without a worker."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagEdit
from flagsched.usecases.doctor import examine
from flagsched.usecases.flags import edit_flag
from tests.builders import ADMIN
from tests.faults.agendas import Steps, all_applied, assert_recorded_once_in_order, create, in_steps, named, now, plan
from tests.faults.clock import DatabaseClock
from tests.faults.readers import as_admin, look, watching
from tests.processes import until, web, worker
from tests.rows import all_history

THREE_DAYS = timedelta(days=3)


@pytest.fixture
def clock(postgresql_url: sa.URL) -> Iterator[DatabaseClock]:
    clock = DatabaseClock(postgresql_url)
    yield clock
    clock.remove()


@pytest.fixture
def url(postgresql_url: sa.URL, clock: DatabaseClock) -> sa.URL:
    """A database whose clock is in the test's hands before anybody connects."""
    del clock
    return postgresql_url


@pytest.fixture
def all_is_well(store: SqlStore) -> Callable[[], bool]:
    """Ask the doctor, on a host that goes by the database's clock."""

    def ask() -> bool:
        assert [finding for finding in examine(store, now(store)) if not finding.ok] == []
        return True

    return ask


def test_a_clock_that_is_set_back_and_forward_reorders_and_repeats_nothing(
    clock: DatabaseClock, store: SqlStore, engine: sa.Engine, tmp_path: Path, all_is_well: Callable[[], bool]
) -> None:
    keys = ["flag-0", "flag-1", "flag-2"]
    create(store, *keys, "edited")
    begin = now(store) + timedelta(seconds=2)
    planned = {key: in_steps(begin + n * timedelta(seconds=0.1), 25, apart=0.3) for n, key in enumerate(keys)}
    planned["edited"] = in_steps(begin + timedelta(seconds=1.8), 1, apart=0)
    for key, steps in planned.items():
        plan(store, key, steps)

    def passed(seconds: float) -> bool:
        return now(store) > begin + timedelta(seconds=seconds)

    with (
        worker(engine.url, tmp_path / "worker.log"),
        web(engine.url, tmp_path / "web.log") as address,
        watching(address, *planned) as seen,
    ):
        for seconds, length in ((2, -2), (1.5, 2.5), (5, -1.5), (4, 2)):
            until(partial(passed, seconds), what=f"{seconds} s by the database's clock")
            until(partial(clock.set_by, timedelta(seconds=length)), what="a quiet moment")
            edit_flag(named("edited"), FlagEdit(description=f"set by {length}"), by=ADMIN, store=store)
        until(lambda: all_applied(engine), what="all is recorded")

    for key, looks in seen.items():
        versions = [one.version for one in looks]
        assert versions == sorted(versions)
        told = {
            one.version: (one.changed_at, one.percentage) for one in looks if 1 < one.version < 2 + len(planned[key])
        }
        assert told.items() <= dict(enumerate(planned[key], start=2)).items()
    assert_recorded_once_in_order(engine, planned)
    assert all_is_well()


def over_three_days(store: SqlStore, keys: list[str]) -> dict[str, Steps]:
    """For each flag ten steps, about seven hours apart, none at the same time as any other's."""
    begin = now(store) + timedelta(hours=1)
    planned = {key: in_steps(begin + n * timedelta(minutes=7), 10, apart=7 * 3600) for n, key in enumerate(keys)}
    for key, steps in planned.items():
        plan(store, key, steps)
    return planned


def test_after_three_days_without_a_worker_readers_have_seen_what_is_then_recorded(
    clock: DatabaseClock, store: SqlStore, engine: sa.Engine, tmp_path: Path, all_is_well: Callable[[], bool]
) -> None:
    keys = ["flag-0", "flag-1", "flag-2", "flag-3"]
    create(store, *keys)
    begin = now(store)
    planned = over_three_days(store, keys)
    by_instant = sorted((at, key) for key, steps in planned.items() for at, _ in steps)
    read: dict[str, Steps] = {key: [] for key in keys}

    with web(engine.url, tmp_path / "web.log") as address, as_admin() as admin:
        for at, key in by_instant:
            clock.stand_at(at - timedelta(milliseconds=1))
            assert look(admin, address, key).version == 1 + len(read[key])
            clock.stand_at(at)
            seen = look(admin, address, key)
            read[key].append((seen.changed_at, seen.percentage))
            assert seen.version == 1 + len(read[key])
        clock.stand_at(begin + THREE_DAYS)
        last_read = {key: look(admin, address, key).version for key in keys}
        assert [entry for entry in all_history(engine) if entry.action == "schedule.applied"] == []

        clock.go_on()
        with worker(engine.url, tmp_path / "worker.log"):
            until(lambda: all_applied(engine), what="all is recorded")
        afterwards = {key: look(admin, address, key).version for key in keys}

    assert read == planned
    assert last_read == afterwards == dict.fromkeys(keys, 11)
    assert_recorded_once_in_order(engine, read)
    assert all_is_well()
