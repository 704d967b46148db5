"""Instants by the database's clock, plans for them, and who waits for whom."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagName
from flagsched.domain.instants import to_milliseconds
from flagsched.domain.schedules import PlannedChange
from flagsched.domain.updates import Updates
from flagsched.usecases.schedules import plan_schedules
from tests.builders import ADMIN, CHECKOUT


def soon(store: SqlStore, seconds: float) -> datetime:
    with store.reading() as work:
        return to_milliseconds(work.at + timedelta(seconds=seconds))


def plan(store: SqlStore, *at: datetime, name: FlagName = CHECKOUT) -> None:
    changes = [PlannedChange(one, Updates(enabled=True)) for one in at]
    plan_schedules(name, changes, batch=True, by=ADMIN, store=store)


def waiting_for_locks(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        waiting: int = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ).scalar_one()
        return waiting
