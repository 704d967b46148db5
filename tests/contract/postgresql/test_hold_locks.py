"""Holds of an environment while others write to its flags, on PostgreSQL: nobody waits for another in a circle."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from time import monotonic

import pytest
import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.effective import EffectiveSchedule
from flagsched.domain.errors import FlagBusy, Refused
from flagsched.domain.flags import FlagEdit, FlagName, NewFlag
from flagsched.domain.history import Action
from flagsched.domain.holds import AtEnd, NewHold, Release
from flagsched.domain.idempotency import IdempotencyKey, StoredResponse
from flagsched.domain.schedules import PlannedChange
from flagsched.domain.updates import Updates
from flagsched.ports.flags import FlagQuery
from flagsched.ports.history import HistoryQuery
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.flags import archive_flag, create_flag, edit_flag, list_flags, read_flag
from flagsched.usecases.history import list_history
from flagsched.usecases.holds import hold_environment, hold_flag, release_hold
from flagsched.usecases.idempotency import IdempotentRequest
from flagsched.usecases.locks import lock_current, lock_environment
from flagsched.usecases.materialise import materialise_due
from flagsched.usecases.plans import create_plan
from flagsched.usecases.schedules import plan_schedules
from flagsched.usecases.undo import undo_entry
from tests.builders import ADMIN, a_hold, a_new_flag
from tests.contract.postgresql.lock_waits import soon, waiting_for_locks
from tests.contract.postgresql.test_plan_locks import deadlocks, well
from tests.plans import ON, create, named, rollout
from tests.processes import until

ROUNDS = 60
WRITERS = 8
HOLDERS = 2
KEYS = [f"flag-{n}" for n in range(50)]
ENVIRONMENT = "production"
Doing = Callable[[SqlStore, random.Random], object]


@pytest.fixture
def store(postgresql_url: sa.URL) -> Iterator[SqlStore]:
    """With a connection for each thread, so that they wait for nothing but locks."""
    engine = open_engine(postgresql_url, Limits(pool_size=WRITERS + HOLDERS))
    store = SqlStore(engine)
    create(store, *KEYS, environments=[ENVIRONMENT])
    yield store
    engine.dispose()


def plan_any(store: SqlStore, chance: random.Random) -> None:
    changes = [PlannedChange(soon(store, chance.uniform(0.01, 2)), ON) for _ in range(2)]
    plan_schedules(named(chance.choice(KEYS), ENVIRONMENT), changes, batch=True, by=ADMIN, store=store)


def edit_any(store: SqlStore, chance: random.Random) -> None:
    edit_flag(named(chance.choice(KEYS), ENVIRONMENT), FlagEdit(ON), by=ADMIN, store=store)


def roll_out_any(store: SqlStore, chance: random.Random) -> None:
    create_plan(rollout(chance.sample(KEYS, 3), 10, 20, every=1, start=None), by=ADMIN, store=store)


def create_and_archive(store: SqlStore, chance: random.Random) -> None:
    key = f"new-{chance.randrange(10**9)}"
    create_flag(a_new_flag(key), by=ADMIN, store=store)
    changes = [PlannedChange(soon(store, chance.uniform(0.01, 0.1)), ON)]
    plan_schedules(named(key, ENVIRONMENT), changes, batch=False, by=ADMIN, store=store)
    if chance.random() < 0.5:
        archive_flag(named(key, ENVIRONMENT), by=ADMIN, store=store)


def hold_any(store: SqlStore, chance: random.Random) -> None:
    off = Updates(enabled=False)
    placed = hold_flag(named(chance.choice(KEYS), ENVIRONMENT), NewHold("why", updates=off), by=ADMIN, store=store)
    release_hold(placed.hold.id, chance.choice([*Release]), by=ADMIN, store=store)


def record_any(store: SqlStore, chance: random.Random) -> None:
    del chance
    materialise_due(store, Backoff(monotonic))


ACTIONS: list[Doing] = [plan_any, plan_any, edit_any, roll_out_any, create_and_archive, hold_any, record_any]


def test_fifty_flags_are_held_and_released_while_eight_writers_change_them(store: SqlStore) -> None:
    done: Counter[str] = Counter()
    busy: list[str] = []

    def work(number: int) -> None:
        chance = random.Random(number)  # noqa: S311 - it chooses what is done
        for _ in range(ROUNDS):
            action = chance.choice(ACTIONS) if number < WRITERS else hold_and_release
            try:
                action(store, chance)
                done[action.__name__] += 1
            except FlagBusy as error:
                busy.append(f"{action.__name__}: {error.cause}")
            except Refused as error:
                done[type(error).__name__] += 1

    with ThreadPoolExecutor(WRITERS + HOLDERS) as threads:
        for working in [threads.submit(work, number) for number in range(WRITERS + HOLDERS)]:
            working.result(timeout=200)

    assert busy == []
    assert deadlocks(store) == 0
    assert done["hold_and_release"] > ROUNDS / 2, done
    assert all(done[action.__name__] > ROUNDS / 4 for action in ACTIONS), done
    assert well(store)


def hold_and_release(store: SqlStore, chance: random.Random) -> None:
    at_end = chance.choice([*AtEnd])
    placed = hold_environment(ENVIRONMENT, NewHold("why", at_end=at_end), by=ADMIN, store=store)
    release_hold(placed.hold.id, by=ADMIN, store=store)


def test_no_flag_that_is_created_while_its_environment_is_being_held_slips_through(store: SqlStore) -> None:
    begun = Event()

    def create_many(seed: int) -> None:
        for n in range(ROUNDS):
            key = f"new-{seed}-{n}"
            create_flag(a_new_flag(key), by=ADMIN, store=store)
            changes = [PlannedChange(soon(store, 1), ON)]
            plan_schedules(named(key, ENVIRONMENT), changes, batch=False, by=ADMIN, store=store)
            begun.set()

    with ThreadPoolExecutor(WRITERS) as threads:
        creating = [threads.submit(create_many, seed) for seed in range(WRITERS)]
        begun.wait(10)
        placed = hold_environment(ENVIRONMENT, NewHold("why"), by=ADMIN, store=store).hold
        for one in creating:
            one.result(timeout=100)
    Event().wait(1.1)  # All that was planned has come.
    while materialise_due(store, Backoff(monotonic)).flags:
        pass

    flags = list_flags(FlagQuery(ENVIRONMENT, limit=1000), store=store).items
    created_later = [one for one in flags if one.flag.created_at > placed.starts_at]
    assert len(flags) == len(KEYS) + WRITERS * ROUNDS
    assert created_later
    assert [one.flag.name.key for one in flags if one.flag.created_at < one.state.changed_at > placed.starts_at] == []
    assert well(store)


def test_a_flag_is_created_once_its_environment_has_been_held(store: SqlStore, engine: sa.Engine) -> None:
    with ThreadPoolExecutor(1) as threads:
        with store.writing() as work:
            _, clock = lock_environment(work, ENVIRONMENT)
            creating = threads.submit(create_flag, a_new_flag("new"), by=ADMIN, store=store)
            until(lambda: waiting_for_locks(engine) == 1)
            create_flag(NewFlag(FlagName("dev", "new")), by=ADMIN, store=store)  # Elsewhere nobody waits.
            assert not creating.done()
            hold = replace(a_hold(clock), flag_id=None)
            work.holds.add([hold])
            work.commit()
        assert creating.result(timeout=5).holds == (hold,)


def test_a_flag_is_restored_once_its_environment_has_been_held(store: SqlStore, engine: sa.Engine) -> None:
    name = named(KEYS[0], ENVIRONMENT)
    archive_flag(name, by=ADMIN, store=store)
    query = HistoryQuery(ENVIRONMENT, action=Action.FLAG_ARCHIVED)
    (archived,) = list_history(query, store=store).items

    with ThreadPoolExecutor(1) as threads:
        with store.writing() as work:
            lock_environment(work, ENVIRONMENT)
            restoring = threads.submit(undo_entry, name, archived.id, by=ADMIN, store=store)
            until(lambda: waiting_for_locks(engine) == 1)
            assert not restoring.done()
        assert restoring.result(timeout=5).action is Action.FLAG_RESTORED


def test_a_writer_that_waited_for_the_first_hold_of_all_knows_it(store: SqlStore, postgresql_url: sa.URL) -> None:
    name = named(KEYS[0], ENVIRONMENT)
    watching = open_engine(postgresql_url, Limits())
    key = IdempotencyKey.of("ada", "plan-once", b"")
    idempotent: IdempotentRequest[list[EffectiveSchedule]] = IdempotentRequest(
        key, lambda _: StoredResponse(201, {}, "")
    )

    def plan() -> list[EffectiveSchedule]:
        change = PlannedChange(soon(store, 60), ON)
        # The key is taken by the clock, before the lock: there was no hold at that time.
        return plan_schedules(name, [change], batch=False, by=ADMIN, store=store, idempotent=idempotent)

    with ThreadPoolExecutor(1) as threads, store.writing() as work:
        (flag,), clock = lock_current(work, [name])
        planning = threads.submit(plan)
        until(lambda: waiting_for_locks(watching) > 0, what="it waits for the flag")
        work.holds.add([replace(a_hold(clock), flag_id=flag.id)])
        work.commit()
        (planned,) = planning.result(timeout=20)

    watching.dispose()
    assert planned.takes_effect_at is None
    assert read_flag(name, store=store).next_change_at is None
