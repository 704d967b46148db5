"""Recording until nothing is left, and flags that have something to record."""

import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagName
from flagsched.domain.snapshot import EffectiveSnapshot, effective_snapshot, snapshot_of
from flagsched.usecases.backoff import Backoff, Postponement
from flagsched.usecases.flags import create_flag
from flagsched.usecases.materialise import Recorded, materialise_alone, materialise_due
from flagsched.usecases.schedules import plan_schedules
from tests.builders import ADMIN, a_change, a_new_flag, after


def drain(store: SqlStore, backoff: Backoff) -> tuple[list[int], list[Postponement]]:
    """Materialise until nothing is due; give how many flags each transaction recorded, and what failed."""
    flags: list[int] = []
    failed: list[Postponement] = []
    while True:
        failed += [s for flag_id in backoff.ready() if (s := materialise_alone(store, flag_id, backoff))]
        if (recorded := materialise_due(store, backoff)) == Recorded():
            return flags, failed
        flags.append(recorded.flags)


def told_now(store: SqlStore, environment: str = "production") -> EffectiveSnapshot:
    """What a process that begins now would tell."""
    with store.reading() as work:
        revision = work.snapshots.revisions().get(environment, 0)
        return effective_snapshot(snapshot_of(environment, revision, work.snapshots.whole(environment)), work.at)


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
