"""Plans over the same flags at once, on PostgreSQL: two of them never wait for each other."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from time import monotonic

import pytest
import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.durations import Duration
from flagsched.domain.errors import FlagBusy, PlanChanged, PlanExists, Refused
from flagsched.domain.flags import FlagEdit, Precondition
from flagsched.domain.plans import NewPlan, PlanEdit
from flagsched.domain.rollouts import RolloutEnvironment
from flagsched.domain.schedules import PlannedChange
from flagsched.ports.plans import PlanQuery
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.doctor import examine
from flagsched.usecases.flags import edit_flag
from flagsched.usecases.materialise import materialise_due
from flagsched.usecases.named_plans import apply_plan
from flagsched.usecases.plans import create_plan, edit_plan, end_plan, list_plans, read_plan
from flagsched.usecases.schedules import plan_schedules
from tests.builders import ADMIN
from tests.contract.postgresql.lock_waits import soon, waiting_for_locks
from tests.plans import ON, create, named, rollout
from tests.processes import until

ROUNDS = 200
THREADS = 8
KEYS = [f"flag-{n}" for n in range(6)]
ENVIRONMENTS = ("dev", "production")
NAMES = ("alpha", "beta", "gamma")
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
Action = Callable[[SqlStore, random.Random], object]


@pytest.fixture
def store(postgresql_url: sa.URL) -> Iterator[SqlStore]:
    """With a connection for each thread, so that they wait for nothing but locks."""
    engine = open_engine(postgresql_url, Limits(pool_size=THREADS + 1))
    store = SqlStore(engine)
    create(store, *KEYS, environments=ENVIRONMENTS)
    yield store
    engine.dispose()


def a_plan(store: SqlStore, chance: random.Random, name: str | None = None) -> NewPlan:
    """Over some of the flags, in any order, from now on or later."""
    keys = chance.sample(KEYS, chance.randint(2, 5))
    environments = [RolloutEnvironment(one) for one in chance.sample(ENVIRONMENTS, chance.randint(1, 2))]
    start = chance.choice([None, soon(store, chance.uniform(0.02, 60))])
    percentages = [chance.randint(0, 100) for _ in range(chance.randint(1, 2))]
    return rollout(keys, *percentages, every=1, start=start, environments=environments, name=name)


def create_any(store: SqlStore, chance: random.Random) -> None:
    create_plan(a_plan(store, chance, chance.choice([None, *NAMES])), by=ADMIN, store=store)


def apply_any(store: SqlStore, chance: random.Random) -> None:
    apply_plan(a_plan(store, chance, chance.choice(NAMES)), dry_run=chance.random() < 0.2, by=ADMIN, store=store)


def shift_any(store: SqlStore, chance: random.Random) -> None:
    for one in list_plans(PlanQuery(limit=8), store=store).items[:: chance.randint(1, 8)][:1]:
        edit_plan(one.plan.id, PlanEdit(title="moved", shift=Duration(seconds=60)), by=ADMIN, store=store)


def end_any(store: SqlStore, chance: random.Random) -> None:
    plans = list_plans(PlanQuery(limit=8, name=chance.choice([None, *NAMES])), store=store).items
    for one in plans[:: chance.randint(1, 8)][:1]:
        end_plan(one.plan.id, by=ADMIN, store=store)


def edit_any(store: SqlStore, chance: random.Random) -> None:
    edit_flag(named(chance.choice(KEYS), chance.choice(ENVIRONMENTS)), FlagEdit(ON), by=ADMIN, store=store)


def plan_any(store: SqlStore, chance: random.Random) -> None:
    changes = [PlannedChange(soon(store, n + 60), ON) for n in range(3)]
    plan_schedules(named(chance.choice(KEYS), chance.choice(ENVIRONMENTS)), changes, batch=True, by=ADMIN, store=store)


def record_any(store: SqlStore, chance: random.Random) -> None:
    del chance
    materialise_due(store, Backoff(monotonic))


ACTIONS: list[Action] = [
    create_any,
    create_any,
    apply_any,
    apply_any,
    shift_any,
    end_any,
    edit_any,
    plan_any,
    record_any,
]


def test_no_two_plans_over_the_same_flags_wait_for_each_other_whatever_is_done_with_them(store: SqlStore) -> None:
    together = Barrier(THREADS)
    done: Counter[str] = Counter()
    busy: list[str] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - it chooses what is done
        for _ in range(ROUNDS):
            action = chance.choice(ACTIONS)
            together.wait(timeout=30)
            try:
                action(store, chance)
                done[action.__name__] += 1
            except FlagBusy as error:
                busy.append(f"{action.__name__}: {error.cause}")
            except Refused as error:
                done[type(error).__name__] += 1

    with ThreadPoolExecutor(THREADS) as threads:
        for working in [threads.submit(work, seed) for seed in range(THREADS)]:
            working.result(timeout=120)

    assert busy == []
    assert deadlocks(store) == 0
    assert all(done[action.__name__] > ROUNDS / 4 for action in ACTIONS), done
    assert well(store)


def test_plans_over_overlapping_flags_in_opposite_order_never_deadlock(store: SqlStore) -> None:
    together = Barrier(THREADS)

    def work(number: int) -> None:
        keys = KEYS if number % 2 else KEYS[::-1]
        environments = [RolloutEnvironment(one) for one in (ENVIRONMENTS if number % 4 < 2 else ENVIRONMENTS[::-1])]
        for _ in range(ROUNDS // THREADS):
            together.wait(timeout=30)
            plan = create_plan(rollout(keys, 10, 20, environments=environments), by=ADMIN, store=store).plan.plan
            edit_plan(plan.id, PlanEdit(shift=Duration(seconds=60)), by=ADMIN, store=store)
            end_plan(plan.id, by=ADMIN, store=store)

    with ThreadPoolExecutor(THREADS) as threads:
        for working in [threads.submit(work, number) for number in range(THREADS)]:
            working.result(timeout=120)

    assert deadlocks(store) == 0
    assert well(store)


def test_plans_over_different_flags_of_the_same_environments_in_opposite_order_never_deadlock(store: SqlStore) -> None:
    together = Barrier(len(KEYS))

    def work(number: int) -> None:
        environments = [RolloutEnvironment(one) for one in (ENVIRONMENTS if number % 2 else ENVIRONMENTS[::-1])]
        for _ in range(ROUNDS):
            together.wait(timeout=30)
            create_plan(rollout([KEYS[number]], 10, environments=environments), by=ADMIN, store=store)

    with ThreadPoolExecutor(len(KEYS)) as threads:
        for working in [threads.submit(work, number) for number in range(len(KEYS))]:
            working.result(timeout=120)

    assert deadlocks(store) == 0
    assert well(store)


def test_a_change_of_a_plan_waits_for_another_and_is_judged_after_it(store: SqlStore, engine: sa.Engine) -> None:
    plan = create_plan(rollout(KEYS[:1], 10, start=soon(store, 600)), by=ADMIN, store=store).plan.plan
    seen = Precondition({(plan.id, 1)})

    with ThreadPoolExecutor() as threads:
        with store.writing() as work:
            locked = work.plans.lock(plan.id)
            assert locked is not None
            ending = threads.submit(end_plan, plan.id, by=ADMIN, store=store, precondition=seen)
            until(lambda: waiting_for_locks(engine) == 1)
            work.plans.change(locked.edited(PlanEdit(title="Launch"), work.now()))
            work.commit()
        with pytest.raises(PlanChanged):
            ending.result(timeout=5)

    assert read_plan(plan.id, store=store).progress.pending == 1


def test_a_name_that_many_ask_for_at_once_is_of_one_plan(store: SqlStore) -> None:
    together = Barrier(THREADS)
    made: Counter[str] = Counter()

    def work(number: int) -> None:
        for turn in range(ROUNDS // THREADS):
            plan = rollout(KEYS[number % 3 : number % 3 + 2], 10, 20, start=soon(store, 600), name=f"plan-{turn}")
            together.wait(timeout=30)
            if number % 2:
                applied = apply_plan(plan, dry_run=False, by=ADMIN, store=store)
                made["applied" if applied.created else "adjusted"] += 1
            else:
                try:
                    create_plan(plan, by=ADMIN, store=store)
                    made["created"] += 1
                except PlanExists:
                    made["refused"] += 1

    with ThreadPoolExecutor(THREADS) as threads:
        for working in [threads.submit(work, number) for number in range(THREADS)]:
            working.result(timeout=120)

    turns = ROUNDS // THREADS
    assert made["created"] + made["applied"] == turns
    assert made["adjusted"] + made["refused"] == (THREADS - 1) * turns
    assert deadlocks(store) == 0
    assert well(store)


def deadlocks(store: SqlStore) -> int:
    with store.reading() as work:
        number: int = work.connection.exec_driver_sql(DEADLOCKS).scalar_one()
        return number


def well(store: SqlStore) -> bool:
    assert [one for one in examine(store, datetime.now(UTC)) if not one.ok and one.check != "record"] == []
    return True
