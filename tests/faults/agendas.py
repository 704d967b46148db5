"""Plans for many flags at once, and how late they were recorded."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagName
from flagsched.domain.instants import to_milliseconds
from flagsched.domain.schedules import PlannedChange
from flagsched.domain.updates import Updates
from flagsched.usecases.flags import create_flag
from flagsched.usecases.schedules import plan_schedules
from tests.builders import ADMIN, a_new_flag
from tests.rows import all_history, all_schedules

Steps = list[tuple[datetime, int]]
"""Instants, and the percentages from then on."""


def named(key: str) -> FlagName:
    return FlagName("production", key)


def now(store: SqlStore) -> datetime:
    with store.reading() as work:
        return to_milliseconds(work.at)


def in_steps(begin: datetime, number: int, *, apart: float) -> Steps:
    """So many steps, so many seconds apart."""
    return [(to_milliseconds(begin + timedelta(seconds=apart * n)), n) for n in range(number)]


def create(store: SqlStore, *keys: str) -> None:
    for key in keys:
        create_flag(a_new_flag(key), by=ADMIN, store=store)


def plan(store: SqlStore, key: str, steps: Sequence[tuple[datetime, int]]) -> None:
    changes = [PlannedChange(at, Updates(rollout_percentage=percentage)) for at, percentage in steps]
    plan_schedules(named(key), changes, batch=True, by=ADMIN, store=store)


def all_applied(engine: sa.Engine) -> bool:
    return {schedule.status for schedule in all_schedules(engine)} == {"applied"}


def lateness(engine: sa.Engine, keys: Iterable[str]) -> list[timedelta]:
    """By how much each recording of these flags came after its instant, from the least on."""
    wanted = set(keys)
    applied = (e for e in all_history(engine) if e.action == "schedule.applied" and e.flag_key in wanted)
    return sorted(entry.recorded_at - entry.effective_at for entry in applied)


def assert_recorded_once_in_order(engine: sa.Engine, planned: dict[str, Steps]) -> None:
    """Of each flag just these steps, in the order of their instants, in versions without gaps from 2 on."""
    told: dict[str, list[tuple[int, datetime, int]]] = {key: [] for key in planned}
    for entry in all_history(engine):
        if entry.action == "schedule.applied":
            told[entry.flag_key].append((entry.flag_version, entry.effective_at, entry.after["rolloutPercentage"]))
    for key, steps in planned.items():
        assert told[key] == [(n, at, percentage) for n, (at, percentage) in enumerate(steps, start=2)]
