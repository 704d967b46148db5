"""A process that is killed after each statement of its transaction in turn: before COMMIT nothing, after it all."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import chain, count

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagName
from flagsched.domain.holds import NewHold, Release
from flagsched.domain.instants import to_milliseconds
from flagsched.domain.schedules import PlannedChange
from flagsched.domain.updates import Updates
from flagsched.ports.plans import PlanQuery
from flagsched.usecases.flags import create_flag, read_flag
from flagsched.usecases.holds import hold_flag
from flagsched.usecases.plans import list_plans
from flagsched.usecases.schedules import plan_schedules
from tests.builders import ADMIN, CHECKOUT, a_new_flag
from tests.faults.crash import FLAGS_OF_PLAN
from tests.plans import create
from tests.processes import ROOT, environment, until
from tests.rows import all_history, all_schedules, everything

KILLED = -9


@contextmanager
def dying(url: sa.URL, what: str) -> Iterator[Callable[[str], int]]:
    """Gives a function that kills a process after a statement, and tells its exit code."""
    command = [sys.executable, "-m", "tests.faults.crash", what, "SIGKILL"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(url), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip

        def die(statement: str) -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{statement}\n")
            process.stdin.flush()
            return int(process.stdout.readline().split()[0])

        yield die


def test_a_bulk_is_nothing_until_its_commit_and_all_of_it_afterwards(
    store: SqlStore, engine: sa.Engine, postgresql_url: sa.URL, all_is_well: Callable[[], bool]
) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)

    with dying(postgresql_url, "bulk") as die:
        for statement in chain(["commit"], map(str, count(1))):
            if (code := die(statement)) == 0:
                break
            assert code == KILLED
            assert (len(all_schedules(engine)), len(all_history(engine))) == (0, 1)
            assert all_is_well()

    assert int(statement) > 7
    assert [s.seq for s in all_schedules(engine)] == list(range(1, 51))
    assert len(all_history(engine)) == 51
    assert all_is_well()


def test_a_plan_is_nothing_until_its_commit_and_all_of_it_afterwards(
    store: SqlStore, engine: sa.Engine, postgresql_url: sa.URL, all_is_well: Callable[[], bool]
) -> None:
    create(store, *FLAGS_OF_PLAN, environments=["dev", "production"])
    before = everything(engine)

    with dying(postgresql_url, "plan") as die:
        for statement in chain(["commit"], map(str, count(1))):
            if (code := die(statement)) == 0:
                break
            assert code == KILLED
            assert everything(engine) == before
            assert all_is_well()

    assert int(statement) > 9
    assert [s.status for s in all_schedules(engine)] == ["applied"] * 20 + ["pending"] * 20
    assert Counter(e.action for e in all_history(engine)) == {
        "flag.created": 20,
        "schedule.created": 40,
        "schedule.applied": 20,
    }
    (plan,) = list_plans(PlanQuery(name="launch"), store=store).items
    assert (plan.progress.applied, plan.progress.pending) == (20, 20)
    assert all_is_well()


def test_a_record_is_nothing_until_its_commit_and_all_of_it_afterwards(
    store: SqlStore, engine: sa.Engine, postgresql_url: sa.URL, all_is_well: Callable[[], bool]
) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    with store.reading() as work:
        soon = work.at + timedelta(seconds=0.3)
    changes = [PlannedChange(soon + timedelta(milliseconds=n), Updates(rollout_percentage=n)) for n in range(50)]
    plan_schedules(CHECKOUT, changes, batch=True, by=ADMIN, store=store)
    until(lambda: read_flag(CHECKOUT, store=store).state.version == 51)

    with dying(postgresql_url, "record") as die:
        for statement in chain(["commit"], map(str, count(1))):
            if (code := die(statement)) == 0:
                break
            assert code == KILLED
            assert {s.status for s in all_schedules(engine)} == {"pending"}
            assert all_is_well()

    assert int(statement) > 4
    assert [(s.status, s.flag_version) for s in all_schedules(engine)] == [("applied", n) for n in range(2, 52)]
    assert read_flag(CHECKOUT, store=store).state.version == 51
    assert all_is_well()


def a_ramp(store: SqlStore, *keys: str) -> datetime:
    """Three steps for each flag, the first in a moment; gives the instant of that one."""
    with store.reading() as work:
        soon = to_milliseconds(work.at + timedelta(seconds=0.6))
    at = (soon, soon + timedelta(seconds=0.1), soon + timedelta(hours=1))
    changes = [PlannedChange(one, Updates(True, n)) for n, one in enumerate(at)]
    for key in keys:
        create_flag(a_new_flag(key), by=ADMIN, store=store)
        plan_schedules(FlagName("production", key), changes, batch=True, by=ADMIN, store=store)
    return soon


@pytest.mark.parametrize(("what", "flags"), [("hold", 1), ("freeze", 5)])
def test_a_hold_is_nothing_until_its_commit_and_all_of_it_afterwards(
    store: SqlStore,
    engine: sa.Engine,
    postgresql_url: sa.URL,
    all_is_well: Callable[[], bool],
    what: str,
    flags: int,
) -> None:
    a_ramp(store, "new-checkout", *(f"flag-{n}" for n in range(1, flags)))
    until(lambda: read_flag(CHECKOUT, store=store).state.version == 3)
    before = everything(engine)

    with dying(postgresql_url, what) as die:
        for statement in chain(["commit"], map(str, count(1))):
            if (code := die(statement)) == 0:
                break
            assert code == KILLED
            assert everything(engine) == before
            assert all_is_well()

    assert int(statement) > 7
    flag = read_flag(CHECKOUT, store=store)
    assert (flag.state.enabled, len(flag.holds)) == (what == "freeze", 1)
    applied = [entry for entry in all_history(engine) if entry.action == "schedule.applied"]
    assert len(applied) == 2 * flags
    assert all(entry.effective_at < flag.holds[0].starts_at for entry in applied)
    assert all_is_well()


@pytest.mark.parametrize("how", Release)
def test_a_release_is_nothing_until_its_commit_and_all_of_it_afterwards(
    store: SqlStore, engine: sa.Engine, postgresql_url: sa.URL, all_is_well: Callable[[], bool], how: Release
) -> None:
    first = a_ramp(store, "new-checkout")
    hold_flag(CHECKOUT, NewHold("it burns"), by=ADMIN, store=store)
    with store.reading() as work:
        assert work.at < first
    until(lambda: now_of(store) > first + timedelta(seconds=0.1))
    before = everything(engine)

    with dying(postgresql_url, how.value) as die:
        for statement in chain(["commit"], map(str, count(1))):
            if (code := die(statement)) == 0:
                break
            assert code == KILLED
            assert everything(engine) == before
            assert all_is_well()

    assert int(statement) > 6
    became = {Release.CATCH_UP: "applied", Release.SKIP: "skipped", Release.SHIFT: "pending"}[how]
    assert [one.status for one in all_schedules(engine)] == [became, became, "pending"]
    assert all_is_well()


def now_of(store: SqlStore) -> datetime:
    with store.reading() as work:
        return work.at
