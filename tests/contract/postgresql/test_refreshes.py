"""What a look makes of a database that refuses it something."""

from contextlib import suppress

import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import Unavailable
from flagsched.snapshots.refresher import SnapshotRefresher
from tests.processes import until


def test_what_the_database_refuses_is_no_row_that_cannot_be_read(store: SqlStore, engine: sa.Engine) -> None:
    refresher = SnapshotRefresher(store)
    with engine.connect() as somebody:
        somebody.exec_driver_sql("LOCK TABLE feature_flag_schedules IN ACCESS EXCLUSIVE MODE")
        with suppress(Unavailable):
            refresher.effective("production")
        until(lambda: refresher.problem is not None, seconds=8, what="the look has given up")
        problem = refresher.problem
    until(lambda: refresher.problem is None, seconds=5, what="all is well")
    refresher.close()

    assert isinstance(problem, Unavailable)
    assert refresher.has_snapshot
