"""Workers that are killed again and again while plans fall due and admins change their minds."""

import random
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import pytest
import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagName
from flagsched.domain.schedules import Status
from flagsched.ports.schedules import EnvironmentScheduleQuery
from flagsched.usecases.doctor import examine
from flagsched.usecases.schedules import list_environment_schedules
from tests.databases import administer
from tests.faults.fire import EACH, Outcomes, a_planned_flag, begin_worker, change_minds, workers_under_fire
from tests.poolers import POOLED_TOO
from tests.processes import Running, environment, started, until
from tests.rows import all_history, all_schedules

PENDING = EnvironmentScheduleQuery("production", statuses=[Status.PENDING], limit=1)


@pytest.fixture
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    """Flags, and the seconds over which their schedules fall due."""
    return (600, 120) if request.config.getoption("--long") else (60, 6)


def fall_due(store: SqlStore, flags: int, seconds: int, trouble: AbstractContextManager[object]) -> Outcomes:
    """Let plans fall due amid `trouble` while two admins change their minds; give what they were answered."""
    with store.reading() as work:
        begin = work.at + timedelta(seconds=3)
    names = [FlagName("production", f"flag-{n}") for n in range(flags)]
    planned = [one for name in names for one in a_planned_flag(store, name, begin, seconds)]
    some = sorted(random.sample(planned, len(planned) // 20), key=lambda one: one[2])
    with trouble, ThreadPoolExecutor(2) as admins:
        halves = [admins.submit(change_minds, store, some[half::2]) for half in (0, 1)]
        answered = {schedule_id: one for half in halves for schedule_id, one in half.result().items()}
        until(
            lambda: not list_environment_schedules(PENDING, store=store).items,
            seconds=seconds + 20,
            what="all is recorded",
        )
    return answered


def assert_each_ended_once_as_answered(engine: sa.Engine, number: int, answered: Outcomes) -> None:
    ended = {s.id: (s.status, s.scheduled_at) for s in all_schedules(engine)}
    assert len(ended) == number
    assert {status for status, _ in ended.values()} == {"applied", "cancelled"}
    assert len({status for status, _ in answered.values()}) == 2
    for schedule_id, (status, at) in answered.items():
        assert ended[schedule_id] == (status, at or ended[schedule_id][1])


@POOLED_TOO
def test_every_schedule_is_applied_or_cancelled_exactly_once_whoever_is_killed(
    store: SqlStore,
    engine: sa.Engine,
    postgresql_url: sa.URL,
    size: tuple[int, int],
    all_is_well: Callable[[], bool],
    tmp_path: Path,
) -> None:
    flags, seconds = size

    answered = fall_due(store, flags, seconds, workers_under_fire(postgresql_url, tmp_path))

    assert_each_ended_once_as_answered(engine, flags * EACH, answered)
    assert all_is_well()


def test_on_sqlite_too_every_schedule_ends_exactly_once_and_no_writer_is_told_of_locks(
    sqlite_url: sa.URL, tmp_path: Path
) -> None:
    engine = open_engine(sqlite_url, Limits())
    store = SqlStore(engine)

    answered = fall_due(store, 12, 6, workers_under_fire(sqlite_url, tmp_path, 3))

    assert_each_ended_once_as_answered(engine, 12 * EACH, answered)
    assert [finding for finding in examine(store, datetime.now(UTC)) if not finding.ok] == []
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    engine.dispose()


@contextmanager
def backends_terminated(url: sa.URL, folder: Path) -> Iterator[None]:
    """Two workers, and every 0.1 to 0.3 s some connection of a worker is ended by the server."""
    workers = [begin_worker(url, folder / f"worker-{n}.log") for n in range(2)]
    over = Event()

    def end_some() -> None:
        while not over.wait(random.uniform(0.1, 0.3)):
            administer(
                url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'flagsched' "
                "AND datname = current_database() AND client_port = -1 ORDER BY random() LIMIT 1",
            )

    ending = Thread(target=end_some)
    ending.start()
    try:
        yield
    finally:
        over.set()
        ending.join()
        for worker in workers:
            assert worker.stop() == 0


def test_workers_whose_connections_are_ended_at_random_record_each_schedule_once(
    store: SqlStore, engine: sa.Engine, postgresql_url: sa.URL, all_is_well: Callable[[], bool], tmp_path: Path
) -> None:
    with store.reading() as work:
        begin = work.at + timedelta(seconds=2)
    for n in range(40):
        a_planned_flag(store, FlagName("production", f"flag-{n}"), begin, 5)
    engine.dispose()

    with backends_terminated(postgresql_url, tmp_path):
        until(lambda: datetime.now(UTC) > begin + timedelta(seconds=5))
        everything = {"applied"}
        until(lambda: statuses(engine) == everything, seconds=15, what="all is recorded")

    assert [e.action for e in all_history(engine)].count("schedule.applied") == 40 * EACH
    assert all_is_well()


def statuses(engine: sa.Engine) -> set[str]:
    try:
        return {schedule.status for schedule in all_schedules(engine)}
    except sa.exc.OperationalError:  # Ours was among those that were ended.
        return set()


def test_workers_told_to_stop_in_turn_twenty_times_end_in_time_and_lose_nothing(
    store: SqlStore, engine: sa.Engine, postgresql_url: sa.URL, tmp_path: Path, all_is_well: Callable[[], bool]
) -> None:
    with store.reading() as work:
        begin = work.at + timedelta(seconds=1)
    for n in range(20):
        a_planned_flag(store, FlagName("production", f"flag-{n}"), begin, 8)

    def begun(number: int) -> Running:
        log = tmp_path / f"worker-{number}.log"
        return workers.enter_context(started([sys.executable, "worker.py"], log, environment(postgresql_url)))

    with ExitStack() as workers:
        running = [begun(number) for number in range(3)]
        for number in range(20):
            running.append(begun(number + 3))
            told = running.pop(0)
            told.wait_for_log("worker started")
            told_at = monotonic()
            assert told.stop() == 0
            assert monotonic() - told_at < 10
        until(lambda: statuses(engine) == {"applied"}, seconds=15, what="all is recorded")

    assert [e.action for e in all_history(engine)].count("schedule.applied") == 20 * EACH
    assert all_is_well()
