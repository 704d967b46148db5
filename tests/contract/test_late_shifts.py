"""A shift that waits for a lock until a step of the plan has come: refused whole. On every database, by its clock."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.durations import Duration
from flagsched.domain.errors import AlreadyApplied
from flagsched.domain.idempotency import IdempotencyKey, StoredResponse
from flagsched.domain.plans import EffectivePlan, PlanEdit
from flagsched.usecases.idempotency import IdempotentRequest
from flagsched.usecases.plans import create_plan, edit_plan, read_plan
from tests.builders import ADMIN
from tests.contract.postgresql.lock_waits import soon, waiting_for_locks
from tests.plans import create, named, rollout
from tests.processes import until
from tests.rows import all_history, all_schedules, count

SHIFT = PlanEdit(title="moved", shift=Duration(seconds=3600))
Held = Callable[[], AbstractContextManager[Callable[[], bool]]]


@pytest.fixture
def store(engine: sa.Engine) -> SqlStore:
    store = SqlStore(engine)
    create(store, "a", "b")
    return store


@pytest.fixture
def held(store: SqlStore, engine: sa.Engine) -> Held:
    """Holds what a writer of flag b waits for, and gives a function that says whether one waits by now."""

    @contextmanager
    def hold() -> Iterator[Callable[[], bool]]:
        with store.writing() as work:
            work.flags.lock([named("b")])
            if engine.dialect.name == "postgresql":
                yield lambda: waiting_for_locks(engine) == 1
            else:
                yield lambda: True  # Of this other transaction SQLite tells nothing.

    return hold


@pytest.fixture
def in_background() -> Iterator[Callable[..., "Future[Any]"]]:
    with ThreadPoolExecutor() as pool:
        yield pool.submit


def a_request() -> IdempotentRequest[EffectivePlan]:
    return IdempotentRequest(
        IdempotencyKey.of("ada", "a-key", b"PATCH"), lambda made: StoredResponse(200, {}, made.plan.title)
    )


def test_a_shift_that_waits_until_a_step_has_come_moves_nothing_and_records_that_step(
    store: SqlStore, engine: sa.Engine, held: Held, in_background: Callable[..., "Future[Any]"]
) -> None:
    at = soon(store, 1)
    plan_id = create_plan(rollout("ab", 10, 20, start=at), by=ADMIN, store=store).plan.plan.id

    with held() as waits:
        shifting = in_background(edit_plan, plan_id, SHIFT, by=ADMIN, store=store, idempotent=a_request())
        until(waits)
        Event().wait(0.2)
        assert soon(store, 0) < at
        until(lambda: soon(store, 0) > at)

    with pytest.raises(AlreadyApplied):
        shifting.result(timeout=5)
    assert [s.status for s in all_schedules(engine)] == ["applied"] * 2 + ["pending"] * 2
    assert sorted(e.action for e in all_history(engine)[6:]) == ["schedule.applied"] * 2
    seen = read_plan(plan_id, store=store)
    assert (seen.plan.title, seen.plan.version, seen.progress.next_at) == (
        "",
        1,
        all_schedules(engine)[-1].scheduled_at,
    )


def test_a_shift_that_came_too_late_can_be_sent_again_with_its_key(
    store: SqlStore, engine: sa.Engine, held: Held, in_background: Callable[..., "Future[Any]"]
) -> None:
    at = soon(store, 0.6)
    plan_id = create_plan(rollout("ab", 10, 20, start=at), by=ADMIN, store=store).plan.plan.id
    with held() as waits:
        shifting = in_background(edit_plan, plan_id, SHIFT, by=ADMIN, store=store, idempotent=a_request())
        until(waits)
        until(lambda: soon(store, 0) > at)
    with pytest.raises(AlreadyApplied):
        shifting.result(timeout=5)
    assert count(engine, "feature_flag_idempotency") == 0

    moved = edit_plan(plan_id, SHIFT, by=ADMIN, store=store, idempotent=a_request())

    assert (moved.plan.title, moved.progress.applied, moved.progress.pending) == ("moved", 2, 2)
    assert count(engine, "feature_flag_idempotency") == 1
