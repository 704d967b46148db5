"""Real web processes on PostgreSQL, asked without a pause over instants at which something changes."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from time import monotonic
from uuid import UUID

import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import AlreadyApplied
from flagsched.domain.flags import FlagEdit
from flagsched.domain.rollouts import RolloutEnvironment
from flagsched.domain.updates import Updates
from flagsched.usecases.flags import edit_flag
from flagsched.usecases.plans import create_plan
from flagsched.usecases.schedules import cancel_schedule, plan_schedules
from tests.builders import ADMIN, a_change
from tests.faults.agendas import create, in_steps, named, now, plan
from tests.faults.sdks import Told, ask_all, asking, connected
from tests.plans import create as create_in_all
from tests.plans import rollout
from tests.poolers import POOLED_TOO
from tests.processes import until, web, worker

ANSWERS = 10_000
KNOWN_SECONDS = 1.0
ROUNDS = 12


@contextmanager
def two_webs(url: sa.URL, folder: Path) -> Iterator[tuple[str, str]]:
    """Two web processes that know the environment already."""
    with web(url, folder / "one.log") as one, web(url, folder / "two.log") as two:
        for address in (one, two):
            with connected(address) as connection:
                ask_all(connection)
        yield one, two


def wait_until(store: SqlStore, at: datetime) -> None:
    """By the database's clock."""
    Event().wait(max(0.0, (at - now(store)).total_seconds()))


def plan_one(store: SqlStore, key: str, at: datetime) -> UUID:
    changes = [a_change(at, rollout_percentage=7)]
    return plan_schedules(named(key), changes, batch=False, by=ADMIN, store=store)[0].schedule.id


def test_of_two_flags_that_change_at_one_instant_every_answer_tells_both_or_neither(
    store: SqlStore, engine: sa.Engine, tmp_path: Path
) -> None:
    create(store, "a", "b")

    with web(engine.url, tmp_path / "web.log") as address:
        with connected(address) as connection:
            ask_all(connection)
        steps = in_steps(now(store) + timedelta(seconds=2), 50, apart=0.2)
        for key in ("a", "b"):
            plan(store, key, steps)
        with asking(address, effective=16) as told:
            until(lambda: len(told) >= ANSWERS and now(store) > steps[-1][0], seconds=60, what="all answers")

    assert [one for one in told if one.versions["a"] != one.versions["b"]] == []
    assert {one.versions["a"] for one in told} == set(range(1, 52))


def test_over_the_instants_of_a_plan_every_answer_tells_all_of_its_flags_changed_or_none(
    store: SqlStore, engine: sa.Engine, tmp_path: Path
) -> None:
    keys, steps = [f"flag-{n}" for n in range(5)], 8
    create(store, *keys)

    with two_webs(engine.url, tmp_path) as addresses:
        begin = now(store) + timedelta(seconds=2)
        create_plan(rollout(keys, *range(1, steps + 1), every=1, start=begin), by=ADMIN, store=store)
        last = begin + timedelta(seconds=steps - 1)
        with asking(*addresses, effective=8) as told:
            until(lambda: len(told) >= ANSWERS and now(store) > last, seconds=90, what="all answers")

    assert [one for one in told if len({one.versions[key] for key in keys}) > 1] == []
    assert {one.versions[keys[0]] for one in told} == set(range(1, steps + 2))


def test_a_plan_that_starts_now_is_told_of_all_its_flags_or_of_none(
    store: SqlStore, engine: sa.Engine, tmp_path: Path
) -> None:
    keys = [f"flag-{n}" for n in range(5)]
    create(store, *keys)

    with two_webs(engine.url, tmp_path) as addresses, asking(*addresses, effective=4) as told:
        for n in range(ROUNDS):
            create_plan(rollout(keys, n, 50 + n, every=3600), by=ADMIN, store=store)
            Event().wait(0.2)
        until(lambda: told[-1].versions[keys[0]] == ROUNDS + 1)

    assert [one for one in told if len({one.versions[key] for key in keys}) > 1] == []
    assert {one.versions[keys[0]] for one in told} == set(range(1, ROUNDS + 2))


def test_a_plan_of_two_environments_changes_each_at_its_instant_with_no_worker(
    store: SqlStore, engine: sa.Engine, tmp_path: Path
) -> None:
    keys, environments = ["a", "b"], ("dev", "production")
    create_in_all(store, *keys, environments=environments)

    with web(engine.url, tmp_path / "web.log") as address:
        for environment in environments:
            with connected(address) as connection:
                ask_all(connection, environment)
        begin = now(store) + timedelta(seconds=1.5)
        both = [RolloutEnvironment(environment) for environment in environments]
        create_plan(rollout(keys, 1, 2, 3, every=1, start=begin, environments=both), by=ADMIN, store=store)
        with asking(address, effective=3, environment="dev") as in_dev, asking(address, effective=3) as in_production:
            wait_until(store, begin + timedelta(seconds=2.5))

    for told in (in_dev, in_production):
        assert [one for one in told if one.versions["a"] != one.versions["b"]] == []
        assert_told_at_its_instant(told, [begin + timedelta(seconds=n) for n in range(3)])
        assert {one.versions["a"] for one in told} == {1, 2, 3, 4}


def assert_told_at_its_instant(told: list[Told], instants: list[datetime]) -> None:
    for one in told:
        earliest = 1 + sum(at <= one.asked_at for at in instants)
        assert earliest <= one.versions["a"] <= 1 + sum(at <= one.answered_at for at in instants)


def test_each_answer_of_two_processes_is_as_the_plan_says_of_its_own_instant_with_no_worker(
    store: SqlStore, engine: sa.Engine, tmp_path: Path
) -> None:
    create(store, "a")

    with two_webs(engine.url, tmp_path) as addresses:
        steps = in_steps(now(store) + timedelta(seconds=1.5), 20, apart=0.08)
        plan(store, "a", steps)
        wait_until(store, steps[0][0] - timedelta(seconds=0.2))
        with asking(*addresses) as told:
            wait_until(store, steps[-1][0] + timedelta(seconds=0.3))

    assert len(told) > 500
    assert_told_at_its_instant(told, [at for at, _ in steps])


def test_while_a_worker_records_no_reader_loses_or_repeats_a_change(
    store: SqlStore, engine: sa.Engine, tmp_path: Path
) -> None:
    create(store, "a")

    with two_webs(engine.url, tmp_path) as addresses, worker(engine.url, tmp_path / "worker.log"):
        steps = in_steps(now(store) + timedelta(seconds=1.5), 20, apart=0.08)
        plan(store, "a", steps)
        wait_until(store, steps[0][0] - timedelta(seconds=0.2))
        with asking(*addresses) as told:
            while now(store) < steps[-1][0]:
                # So that flags are read again and again, recorded or not.
                plan_one(store, "a", steps[-1][0] + timedelta(hours=1))
                Event().wait(0.03)
            until(lambda: all_recorded(engine, steps[-1][0]), what="all is recorded")

    assert_told_at_its_instant(told, [at for at, _ in steps])


def all_recorded(engine: sa.Engine, last: datetime) -> bool:
    with engine.connect() as connection:
        query = sa.text(
            "SELECT count(*) FROM feature_flag_schedules WHERE status = 'pending' AND scheduled_at <= :last"
        )
        return bool(connection.execute(query, {"last": last}).scalar_one() == 0)


def test_a_cancel_that_was_committed_just_before_the_instant_is_never_seen_in_effect(
    store: SqlStore, engine: sa.Engine, tmp_path: Path
) -> None:
    create(store, "a")
    applied: list[datetime] = []
    doubtful: list[tuple[datetime, datetime]] = []

    with two_webs(engine.url, tmp_path) as addresses, asking(*addresses) as told:
        for _ in range(ROUNDS):
            at = now(store) + timedelta(seconds=0.4)
            schedule_id = plan_one(store, "a", at)
            wait_until(store, at - timedelta(seconds=random.uniform(0.03, 0.08)))
            try:
                cancel_schedule(named("a"), schedule_id, by=ADMIN, store=store)
                if (committed_at := now(store)) >= at:
                    # Seen in effect for the length of that COMMIT, and until it is known.
                    doubtful.append((at, committed_at + timedelta(seconds=KNOWN_SECONDS)))
            except AlreadyApplied:
                applied.append(at)
            wait_until(store, at + timedelta(seconds=0.1))

    assert len(applied) + len(doubtful) <= ROUNDS * 2 / 3
    certain = [t for t in told if not any(a <= t.answered_at and t.asked_at <= b for a, b in doubtful)]
    assert len(certain) > 100
    assert_told_at_its_instant(certain, applied)


def seconds_until_told(addresses: tuple[str, ...], version: int, next_change_at: datetime | None) -> float:
    """How long it took until every process told so of flag a."""
    began_at = monotonic()
    with ExitStack() as stack:
        for connection in [stack.enter_context(connected(address)) for address in addresses]:
            while not (
                (told := ask_all(connection)).versions["a"] == version and told.next_change_at == next_change_at
            ):
                assert monotonic() - began_at < 10
    return monotonic() - began_at


@POOLED_TOO
def test_what_is_committed_is_known_in_every_process_within_a_second(
    store: SqlStore, engine: sa.Engine, tmp_path: Path
) -> None:
    create(store, "a")
    took = []

    with two_webs(engine.url, tmp_path) as addresses:

        def known(version: int, next_change_at: datetime | None) -> None:
            took.append(seconds_until_told(addresses, version, next_change_at))
            Event().wait(random.uniform(0, 0.6))

        for version in range(2, 8):
            at = now(store).replace(microsecond=0) + timedelta(hours=1)
            edit_flag(named("a"), FlagEdit(Updates(rollout_percentage=version)), by=ADMIN, store=store)
            known(version, None)
            schedule_id = plan_one(store, "a", at)
            known(version, at)
            cancel_schedule(named("a"), schedule_id, by=ADMIN, store=store)
            known(version, None)

    assert max(took) < KNOWN_SECONDS
