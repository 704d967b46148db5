"""The worker as a real process, on both databases."""

import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic, sleep

import pytest
import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.schema import migrations
from flagsched.database.schema.tables import flags
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagName
from flagsched.domain.instants import to_milliseconds
from flagsched.domain.schedules import PlannedChange
from flagsched.domain.updates import Updates
from flagsched.usecases.flags import create_flag, read_flag
from flagsched.usecases.schedules import plan_schedules
from tests.builders import ADMIN, CHECKOUT, a_new_flag
from tests.processes import ROOT, environment, started, until, worker
from tests.rows import all_history, all_schedules


@pytest.fixture
def store(engine: sa.Engine) -> SqlStore:
    """A store with the real clock, as the worker has."""
    return SqlStore(engine)


def now(store: SqlStore) -> datetime:
    with store.reading() as work:
        return to_milliseconds(work.at)


def plan(store: SqlStore, seconds: Sequence[float], name: FlagName = CHECKOUT) -> datetime:
    """Plan percentages, each so many seconds ahead; returns the instant from which they are counted."""
    begin = now(store)
    changes = [
        PlannedChange(begin + timedelta(seconds=s), Updates(rollout_percentage=n)) for n, s in enumerate(seconds)
    ]
    plan_schedules(name, changes, batch=True, by=ADMIN, store=store)
    return begin


def all_applied(engine: sa.Engine) -> bool:
    return all(schedule.status == "applied" for schedule in all_schedules(engine))


def assert_recorded_exactly_once_and_in_order(engine: sa.Engine) -> None:
    """For each flag: every schedule has one entry, in order, with versions without gaps, and the last one stands."""
    entries = defaultdict(list)
    for entry in all_history(engine):
        if entry.action == "schedule.applied":
            entries[entry.flag_id].append(entry)
    planned = defaultdict(list)
    for schedule in all_schedules(engine):
        planned[schedule.flag_id].append(schedule)
    assert entries.keys() == planned.keys()
    for flag_id, schedules in planned.items():
        assert [e.schedule_id for e in entries[flag_id]] == [s.id for s in schedules]
        assert [e.flag_version for e in entries[flag_id]] == list(range(2, len(schedules) + 2))
        assert [s.flag_version for s in schedules] == [e.flag_version for e in entries[flag_id]]
        assert all(e.recorded_at >= e.effective_at for e in entries[flag_id])
    with engine.connect() as connection:
        for flag in connection.execute(sa.select(flags)):
            last = entries[flag.id][-1]
            assert (flag.version, flag.rollout_percentage) == (last.flag_version, last.after["rolloutPercentage"])


def test_a_worker_records_a_plan_on_time_and_in_order(store: SqlStore, engine: sa.Engine, tmp_path: Path) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    with worker(engine.url, tmp_path / "worker.log"):
        plan(store, [1.2, 0.4, 0.8, 0.6, 1.0])
        until(lambda: all_applied(engine), what="all applied")

    assert_recorded_exactly_once_and_in_order(engine)
    late = [e.recorded_at - e.effective_at for e in all_history(engine) if e.action == "schedule.applied"]
    assert max(late) < timedelta(seconds=2)


def test_two_workers_at_once_record_each_schedule_once_and_in_order(postgresql_url: sa.URL, tmp_path: Path) -> None:
    engine = open_engine(postgresql_url, Limits())
    store = SqlStore(engine)
    names = [FlagName("production", f"flag-{n}") for n in range(40)]
    for name in names:
        create_flag(a_new_flag(name.key), by=ADMIN, store=store)

    with worker(engine.url, tmp_path / "one.log") as one, worker(engine.url, tmp_path / "two.log") as two:
        for name in names:
            plan(store, [0.3 + n * 0.1 for n in range(20)], name)
        until(lambda: all_applied(engine), what="all applied")
        assert "recorded what is in effect" in one.log
        assert "recorded what is in effect" in two.log

    assert len(all_schedules(engine)) == 800
    assert_recorded_exactly_once_and_in_order(engine)
    engine.dispose()


def test_a_sleeping_worker_wakes_for_what_is_planned_sooner(postgresql_url: sa.URL, tmp_path: Path) -> None:
    engine = open_engine(postgresql_url, Limits())
    store = SqlStore(engine)
    create_flag(a_new_flag(), by=ADMIN, store=store)
    with worker(engine.url, tmp_path / "worker.log", FLAGSCHED_POLL_SECONDS="60"):
        sleep(1)  # Now it sleeps for a minute.
        plan(store, [0.5])
        until(lambda: all_applied(engine), seconds=5, what="all applied")

    (entry,) = (e for e in all_history(engine) if e.action == "schedule.applied")
    assert entry.recorded_at - entry.effective_at < timedelta(seconds=1)
    engine.dispose()


def test_a_worker_ignores_what_others_notify(postgresql_url: sa.URL, tmp_path: Path) -> None:
    engine = open_engine(postgresql_url, Limits())
    store = SqlStore(engine)
    create_flag(a_new_flag(), by=ADMIN, store=store)
    with worker(engine.url, tmp_path / "worker.log", FLAGSCHED_POLL_SECONDS="60"):
        sleep(1)
        for payload in ("hello", "[1]", '{"wakeAt": 7}', '{"wakeAt": "soon"}'):
            with engine.begin() as connection:
                connection.execute(sa.select(sa.func.pg_notify("flagsched", payload)))
        plan(store, [0.5])
        until(lambda: all_applied(engine), seconds=5, what="all applied")
    engine.dispose()


def test_an_idle_worker_is_not_taken_for_a_stuck_one(sqlite_url: sa.URL, tmp_path: Path) -> None:
    settings = {"FLAGSCHED_POLL_SECONDS": "60", "FLAGSCHED_WATCHDOG_SECONDS": "5"}
    with worker(sqlite_url, tmp_path / "worker.log", **settings) as running:
        sleep(7)
        assert running.process.poll() is None


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_stops_at_once(engine: sa.Engine, tmp_path: Path, signum: signal.Signals) -> None:
    with worker(engine.url, tmp_path / "worker.log", FLAGSCHED_POLL_SECONDS="60") as running:
        sleep(0.5)
        began = monotonic()
        assert running.stop(signum) == 0

    assert monotonic() - began < 3
    assert "worker stopped" in running.log
    assert "Traceback" not in running.log


def test_a_busy_worker_ends_its_transaction_and_stops(store: SqlStore, engine: sa.Engine, tmp_path: Path) -> None:
    for n in range(30):
        name = FlagName("production", f"flag-{n}")
        create_flag(a_new_flag(name.key), by=ADMIN, store=store)
        plan(store, [0.5 + i / 1000 for i in range(50)], name)
    sleep(0.6)

    with worker(engine.url, tmp_path / "worker.log") as running:
        running.wait_for_log("recorded what is in effect")
        assert running.stop() == 0
    with worker(engine.url, tmp_path / "next.log"):
        until(lambda: all_applied(engine), what="all applied")

    assert "Traceback" not in running.log
    assert_recorded_exactly_once_and_in_order(engine)


def test_workers_that_are_killed_while_they_record_lose_and_repeat_nothing(
    store: SqlStore, engine: sa.Engine, tmp_path: Path
) -> None:
    for n in range(40):
        name = FlagName("production", f"flag-{n}")
        create_flag(a_new_flag(name.key), by=ADMIN, store=store)
        plan(store, [2 + i * 0.15 for i in range(50)], name)
    killed = 0
    while not all_applied(engine):
        with worker(engine.url, tmp_path / f"worker-{killed}.log") as running:
            running.wait_for_log("recorded what is in effect")
            running.stop(signal.SIGKILL)
            killed += 1

    assert killed >= 3
    assert_recorded_exactly_once_and_in_order(engine)


def test_after_any_time_without_a_worker_all_is_recorded_in_order(store: SqlStore, engine: sa.Engine) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    begin = plan(store, [0.3, 0.1, 0.2])
    until(lambda: now(store) > begin + timedelta(seconds=0.4))
    seen = read_flag(CHECKOUT, store=store)

    done = subprocess.run(
        [sys.executable, "-m", "flagsched", "worker", "--once"],
        cwd=ROOT, env=environment(engine.url), timeout=30, check=False, capture_output=True,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert_recorded_exactly_once_and_in_order(engine)
    assert read_flag(CHECKOUT, store=store).state == seen.state
    assert seen.state.rollout_percentage == 0


def test_a_worker_at_a_wrong_schema_says_so_and_goes_on_once_it_is_right(
    store: SqlStore, engine: sa.Engine, tmp_path: Path
) -> None:
    migrations.downgrade(engine, "base")
    with worker(engine.url, tmp_path / "worker.log") as running:
        running.wait_for_log("run 'flagsched db upgrade'")
        migrations.upgrade(engine)
        create_flag(a_new_flag(), by=ADMIN, store=store)
        plan(store, [0.1])
        until(lambda: all_applied(engine), what="all applied")
        assert running.process.poll() is None


def test_a_worker_without_a_database_ends_only_when_asked_for_once(tmp_path: Path) -> None:
    nowhere = sa.make_url("postgresql+psycopg2://nobody@127.0.0.1:1/none")

    with worker(nowhere, tmp_path / "worker.log") as running:
        running.wait_for_log('"retry_seconds": 2.0')
        assert running.process.poll() is None
        assert running.stop() == 0
    with started(
        [sys.executable, "-m", "flagsched", "worker", "--once"], tmp_path / "x.log", environment(nowhere)
    ) as once:
        assert once.process.wait(timeout=20) == 1
        assert "the database does not answer" in once.log


def test_a_worker_with_bad_settings_names_them_and_ends(sqlite_url: sa.URL) -> None:
    done = subprocess.run(
        [sys.executable, "worker.py"],
        cwd=ROOT, env=environment(sqlite_url, FLAGSCHED_POLL_SECONDS="often"),
        timeout=30, check=False, capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 2
    assert done.stderr.startswith('flagsched worker: Environment variable "FLAGSCHED_POLL_SECONDS" invalid')


def test_the_worker_imports_no_flask() -> None:
    listed = "import sys, worker; print([name for name in sys.modules if 'flask' in name.lower()])"

    done = subprocess.run([sys.executable, "-c", listed], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
