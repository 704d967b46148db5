"""A worker that is stopped inside its transaction, while the others go on, and then continued."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from time import monotonic

import psutil
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagName
from flagsched.domain.schedules import PlannedChange
from flagsched.domain.updates import Updates
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.flags import create_flag, read_flag
from flagsched.usecases.materialise import materialise_due
from flagsched.usecases.schedules import plan_schedules
from tests.builders import ADMIN, a_new_flag
from tests.processes import ROOT, environment, until
from tests.rows import all_history

STATEMENTS_BEFORE_ITS_COMMIT = 4


def is_over(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_stopped_worker_holds_up_nobody_for_long_and_changes_nothing_more_when_it_goes_on(
    store: SqlStore, engine: sa.Engine, postgresql_url: sa.URL, all_is_well: Callable[[], bool]
) -> None:
    with store.reading() as work:
        at = work.at + timedelta(seconds=1)
    names = [FlagName("production", f"flag-{n}") for n in range(30)]
    for name in names:
        create_flag(a_new_flag(name.key), by=ADMIN, store=store)
        plan_schedules(name, [PlannedChange(at, Updates(enabled=True))], batch=False, by=ADMIN, store=store)
    until(lambda: read_flag(names[-1], store=store).state.enabled)

    command = [sys.executable, "-m", "tests.faults.crash", "record", "SIGSTOP"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(postgresql_url), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    ) as parent:  # fmt: skip
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(f"{STATEMENTS_BEFORE_ITS_COMMIT}\n")
        parent.stdin.flush()
        what, stopped = parent.stdout.readline().split()
        assert what == "stopped"
        try:
            backoff = Backoff(monotonic)
            assert materialise_due(store, backoff).flags == 10  # What it does not hold goes on at once.
            until(lambda: materialise_due(store, backoff).flags == 20, seconds=13, what="its claim is given back")
        finally:
            os.kill(int(stopped), signal.SIGCONT)
        until(lambda: not psutil.pid_exists(int(stopped)) or is_over(int(stopped)), what="it has gone on")

    assert all(read_flag(name, store=store).materialized for name in names)
    assert [e.action for e in all_history(engine)].count("schedule.applied") == 30
    assert all_is_well()
