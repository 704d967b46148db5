"""A worker that hangs inside its transaction ends itself, and what it held is recorded by another."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from tests.faults.agendas import all_applied, assert_recorded_once_in_order, create, in_steps, now, plan
from tests.processes import until, worker
from tests.rows import all_schedules

HANGING = ("-m", "tests.faults.frozen")
HELD = 20
WATCHDOG_SECONDS = 5


def left_pending(engine: sa.Engine) -> int:
    return [schedule.status for schedule in all_schedules(engine)].count("pending")


def test_a_worker_that_hangs_ends_itself_and_another_records_what_it_held(
    store: SqlStore, engine: sa.Engine, tmp_path: Path, all_is_well: Callable[[], bool]
) -> None:
    keys = [f"flag-{n}" for n in range(30)]
    create(store, *keys)
    planned = dict.fromkeys(keys, in_steps(now(store) + timedelta(seconds=1.5), 3, apart=0.001))
    for key, steps in planned.items():
        plan(store, key, steps)

    with worker(
        engine.url, tmp_path / "hanging.log", arguments=HANGING, FLAGSCHED_WATCHDOG_SECONDS=str(WATCHDOG_SECONDS)
    ) as hanging:
        hanging.wait_for_log("hanging")
        with worker(engine.url, tmp_path / "worker.log"):
            until(lambda: left_pending(engine) == HELD * 3, seconds=5, what="what it does not hold is recorded")
            assert hanging.process.wait(timeout=WATCHDOG_SECONDS + 3) == 70
            until(lambda: all_applied(engine), seconds=2, what="all is recorded")

    assert "no transaction was finished or tried, giving up" in hanging.log
    assert_recorded_once_in_order(engine, planned)
    assert all_is_well()
