"""Behind a pooler: each transaction sets its own timeouts, and nothing needs LISTEN."""

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine, timeouts
from flagsched.database.connections.pooler import is_pooled
from flagsched.database.schema import migrations
from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.flags import read_flag
from tests.builders import CHECKOUT
from tests.contract.postgresql.lock_waits import plan, soon
from tests.faults.proxy import through_proxy
from tests.poolers import POOLED, POOLED_TOO
from tests.processes import until, worker
from tests.rows import all_history


def settings(connection: sa.Connection) -> dict[str, str]:
    return {name: connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in [*timeouts(Limits()), "TimeZone"]}


@POOLED_TOO
@pytest.mark.parametrize("kind", ["reading", "writing"])
def test_every_transaction_has_its_timeouts_and_is_in_utc(store: SqlStore, kind: str) -> None:
    with getattr(store, kind)() as work:
        in_force = settings(work.flags.connection)

    assert in_force == timeouts(Limits()) | {"TimeZone": "UTC"}


@POOLED
def test_no_setting_of_a_transaction_stays_for_other_clients(store: SqlStore, postgresql_url: sa.URL) -> None:
    others = sa.create_engine(postgresql_url)
    with others.connect() as other:
        before = settings(other)

    with store.writing() as work:
        work.commit()

    with others.connect() as other:
        assert settings(other) == before
    assert before["lock_timeout"] == "0"
    others.dispose()


@POOLED_TOO
def test_a_read_costs_three_round_trips_and_one_more_behind_a_pooler(postgresql_url: sa.URL) -> None:
    with through_proxy(postgresql_url) as (url, proxy):
        engine = open_engine(url, Limits())
        store = SqlStore(engine)
        for _ in range(2):  # The first opens a connection.
            before = proxy.asked
            with store.reading():
                pass
            asked = proxy.asked - before
        pooled = is_pooled(engine)
        engine.dispose()

    assert asked == 3 + pooled


@POOLED
def test_a_worker_behind_a_pooler_finds_what_is_planned_by_polling(
    store: SqlStore, engine: sa.Engine, postgresql_url: sa.URL, tmp_path: Path
) -> None:
    with worker(postgresql_url, tmp_path / "worker.log") as running:
        running.wait_for_log("behind a pooler, polling alone")
        plan(store, soon(store, 0.5))
        until(lambda: len(all_history(engine)) == 3, seconds=5, what="recorded")

    recorded = all_history(engine)[-1]
    assert recorded.action == "schedule.applied"
    assert recorded.recorded_at - recorded.effective_at < timedelta(seconds=2)
    assert read_flag(CHECKOUT, store=store).materialized


@POOLED
def test_the_schema_is_brought_up_and_taken_back_through_a_pooler(engine: sa.Engine) -> None:
    migrations.downgrade(engine, "base")

    migrations.upgrade(engine)

    migrations.check(engine)
    SqlStore(engine).check()
