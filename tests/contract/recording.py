"""Recording until nothing is left, and flags that have something to record."""

import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagName
from flagsched.domain.snapshot import Moment, moment, snapshot_of
from flagsched.usecases.flags import create_flag
from flagsched.usecases.materialise import (
    Recorded,
    Setback,
    Setbacks,
    materialise_alone,
    materialise_due,
)
from flagsched.usecases.schedules import plan_schedules
from tests.builders import ADMIN, a_change, a_new_flag, after


def drain(store: SqlStore, setbacks: Setbacks) -> tuple[list[int], list[Setback]]:
    """Materialise until nothing is due; give how many flags each transaction recorded, and what failed."""
    flags: list[int] = []
    failed: list[Setback] = []
    while True:
        failed += [s for flag_id in setbacks.ready() if (s := materialise_alone(store, flag_id, setbacks))]
        if (recorded := materialise_due(store, setbacks)) == Recorded():
            return flags, failed
        flags.append(recorded.flags)


def told_now(store: SqlStore, environment: str = "production") -> Moment:
    """What a process that begins now would tell."""
    with store.reading() as work:
        revision = work.snapshots.revisions().get(environment, 0)
        return moment(snapshot_of(environment, revision, work.snapshots.whole(environment)), work.at)


def named(key: str) -> FlagName:
    return FlagName("production", key)


def run(engine: sa.Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def a_planned_flag(store: SqlStore, key: str, *seconds: float) -> None:
    create_flag(a_new_flag(key), by=ADMIN, store=store)
    changes = [a_change(after(s), rollout_percentage=int(s) % 101) for s in seconds]
    plan_schedules(named(key), changes, batch=True, by=ADMIN, store=store)
