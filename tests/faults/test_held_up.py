"""Commits that arrive 300 ms late, over the instant that they are about: refused, or never seen in effect."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import AlreadyApplied, InstantsRefused
from flagsched.domain.flags import FlagEdit, FlagState
from flagsched.domain.schedules import PlannedChange, ScheduleEdit
from flagsched.domain.updates import Updates
from flagsched.ports.schedules import ScheduleQuery
from flagsched.usecases.flags import create_flag, edit_flag, read_flag
from flagsched.usecases.schedules import cancel_schedule, edit_schedule, list_schedules, plan_schedules
from tests.builders import ADMIN, CHECKOUT, a_new_flag
from tests.faults.proxy import through_proxy
from tests.processes import until, worker
from tests.rows import all_history, all_schedules

HELD_UP_SECONDS = 0.3
Background = Callable[..., "Future[object]"]


@pytest.fixture
def slow(postgresql_url: sa.URL) -> Iterator[SqlStore]:
    """A store whose commits arrive late."""
    with through_proxy(postgresql_url) as (url, proxy):
        engine = open_engine(url, Limits())
        proxy.commit_delay = HELD_UP_SECONDS
        yield SqlStore(engine)
        engine.dispose()


@pytest.fixture
def in_background() -> Iterator[Background]:
    with ThreadPoolExecutor() as pool:
        yield pool.submit


def soon(store: SqlStore, seconds: float) -> datetime:
    with store.reading() as work:
        return work.at + timedelta(seconds=seconds)


def plan(store: SqlStore, percentage: int, at: datetime) -> None:
    change = PlannedChange(at, Updates(rollout_percentage=percentage))
    plan_schedules(CHECKOUT, [change], batch=False, by=ADMIN, store=store)


@contextmanager
def watched(store: SqlStore) -> Iterator[list[FlagState]]:
    """All states that a reader sees meanwhile, each once."""
    seen: list[FlagState] = []
    over = Event()

    def look() -> None:
        while not over.is_set():
            state = read_flag(CHECKOUT, store=store).state
            if not seen or seen[-1] != state:
                seen.append(state)

    with ThreadPoolExecutor() as pool:
        refresher = pool.submit(look)
        try:
            yield seen
            over.wait(0.2)
        finally:
            over.set()
        refresher.result()


def assert_what_was_seen_is_what_is_told(seen: list[FlagState], store: SqlStore, engine: sa.Engine) -> None:
    """Nothing that a reader saw was taken back: it is the history, version by version."""
    until(lambda: read_flag(CHECKOUT, store=store).materialized)
    changes = [e for e in all_history(engine) if e.action in {"flag.created", "flag.updated", "schedule.applied"}]
    told = [(e.flag_version, e.after["rolloutPercentage"], e.effective_at) for e in changes]
    assert [(state.version, state.rollout_percentage, state.changed_at) for state in seen] == told


def test_a_plan_whose_commit_comes_late_is_refused_and_those_that_wait_for_it_are_in_order(
    store: SqlStore,
    slow: SqlStore,
    engine: sa.Engine,
    in_background: Background,
    all_is_well: Callable[[], bool],
    postgresql_url: sa.URL,
    tmp_path: Path,
) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)

    with worker(postgresql_url, tmp_path / "worker.log"), watched(store) as seen:
        plan(store, 10, soon(store, 0.35))
        late = in_background(plan, slow, 20, soon(store, 0.2))
        Event().wait(0.1)
        newer = in_background(plan, store, 30, soon(store, 0.5))
        with pytest.raises(InstantsRefused):
            late.result(timeout=5)
        newer.result(timeout=5)
        until(lambda: read_flag(CHECKOUT, store=store).state.rollout_percentage == 30)

    assert [s.updates for s in all_schedules(engine)] == [Updates(rollout_percentage=n) for n in (10, 30)]
    assert_what_was_seen_is_what_is_told(seen, store, engine)
    assert all_is_well()


def cancel(store: SqlStore) -> None:
    (planned,) = list_schedules(CHECKOUT, ScheduleQuery(), store=store).items
    cancel_schedule(CHECKOUT, planned.schedule.id, by=ADMIN, store=store)


def put_off(store: SqlStore) -> None:
    (planned,) = list_schedules(CHECKOUT, ScheduleQuery(), store=store).items
    later = ScheduleEdit(planned.schedule.scheduled_at + timedelta(minutes=1))
    edit_schedule(CHECKOUT, planned.schedule.id, later, by=ADMIN, store=store)


@pytest.mark.parametrize("change_of_mind", [cancel, put_off])
def test_a_change_of_mind_whose_commit_comes_late_is_refused(
    store: SqlStore,
    slow: SqlStore,
    engine: sa.Engine,
    change_of_mind: Callable[[SqlStore], None],
    all_is_well: Callable[[], bool],
) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    plan(store, 10, soon(store, 0.2))

    with watched(store) as seen, pytest.raises(AlreadyApplied):
        change_of_mind(slow)

    assert [s.status for s in all_schedules(engine)] == ["applied"]
    assert_what_was_seen_is_what_is_told(seen, store, engine)
    assert all_is_well()


@pytest.mark.parametrize("change_of_mind", [cancel, put_off])
def test_a_change_of_mind_whose_commit_comes_in_time_is_never_seen_in_effect(
    store: SqlStore, slow: SqlStore, engine: sa.Engine, change_of_mind: Callable[[SqlStore], None]
) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    plan(store, 10, soon(store, 1))

    with watched(store) as seen:
        change_of_mind(slow)
        until(lambda: soon(store, -1.1) > all_history(engine)[1].recorded_at)

    assert [state.version for state in seen] == [1]


def test_an_edit_whose_commit_comes_late_comes_after_what_was_seen(
    store: SqlStore, slow: SqlStore, engine: sa.Engine, all_is_well: Callable[[], bool]
) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    plan(store, 10, soon(store, 0.2))

    with watched(store) as seen:
        edit_flag(CHECKOUT, FlagEdit(Updates(rollout_percentage=40)), by=ADMIN, store=slow)

    assert [state.rollout_percentage for state in seen] == [100, 10, 40]
    assert_what_was_seen_is_what_is_told(seen, store, engine)
    assert all_is_well()
