"""What is coming, over all flags, on every database."""

from dataclasses import replace
from typing import Any

import pytest

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagName
from flagsched.domain.schedules import Status
from flagsched.ports.schedules import EnvironmentScheduleQuery
from flagsched.usecases.flags import archive_flag, create_flag
from flagsched.usecases.schedules import cancel_schedule, list_environment_schedules, plan_schedules
from tests.builders import ADMIN, ManualClock, a_change, a_new_flag, after

ALL = EnvironmentScheduleQuery("production", limit=500)


def named(key: str, environment: str = "production") -> FlagName:
    return FlagName(environment, key)


@pytest.fixture(autouse=True)
def batch(store: SqlStore, clock: ManualClock) -> Any:
    """Plans of two flags, of one in another environment, and one that is archived; gives the second flag's batch."""
    for key in ("a", "b", "gone"):
        create_flag(a_new_flag(key), by=ADMIN, store=store)
    create_flag(a_new_flag("a", "staging"), by=ADMIN, store=store)
    plans = {}
    for name, seconds in [
        (named("a"), (10, 30)),
        (named("b"), (20, 30, 40)),
        (named("gone"), (25,)),
        (named("a", "staging"), (15,)),
    ]:
        changes = [a_change(after(s)) for s in seconds]
        plans[name] = plan_schedules(name, changes, batch=True, by=ADMIN, store=store)
    cancel_schedule(named("b"), plans[named("b")][2].schedule.id, by=ADMIN, store=store)
    archive_flag(named("gone"), by=ADMIN, store=store)
    clock.at = after(20)
    return plans[named("b")][0].schedule.batch_id


def told(store: SqlStore, **asked: Any) -> list[tuple[str, float]]:
    return [key_and_second(one) for one in list_environment_schedules(replace(ALL, **asked), store=store).items]


def key_and_second(one: Any) -> tuple[str, float]:
    return one.flag.name.key, (one.schedule.scheduled_at - after(0)).total_seconds()


def test_what_is_pending_is_listed_over_all_flags_by_time(store: SqlStore) -> None:
    page = list_environment_schedules(replace(ALL, statuses=[Status.PENDING]), store=store).items

    assert sorted(map(key_and_second, page)) == [("a", 10), ("a", 30), ("b", 20), ("b", 30)]
    assert [one.schedule.scheduled_at for one in page] == sorted(one.schedule.scheduled_at for one in page)
    assert [one.in_effect for one in page] == [True, True, False, False]


def test_what_has_ended_is_listed_with_archived_flags_too(store: SqlStore) -> None:
    assert told(store, statuses=[Status.CANCELLED]) == [("gone", 25), ("b", 40)]


def test_plans_are_asked_for_by_what_one_looks_for(store: SqlStore, batch: Any) -> None:
    assert told(store, batch_id=batch) == [("b", 20), ("b", 30), ("b", 40)]
    assert told(store, environment="staging") == [("a", 15)]
    assert told(store, start=after(20), end=after(30)) == [("b", 20), ("gone", 25)]


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_pages_of_plans_stay_in_step_while_plans_are_added(store: SqlStore, limit: int) -> None:
    whole, seen, after_place = told(store), [], None
    while True:
        page = list_environment_schedules(replace(ALL, limit=limit, after=after_place), store=store)
        seen += [one for one in map(key_and_second, page.items) if one[1] < 60]
        if not page.more:
            break
        last = page.items[-1].schedule
        after_place = (last.scheduled_at, last.flag_id, last.seq)
        if len(seen) < 3:
            plan_schedules(named("a"), [a_change(after(99))], batch=False, by=ADMIN, store=store)

    assert seen == whole
