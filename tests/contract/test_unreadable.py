"""Rows that can't be read, and whose trouble that is."""

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import DatabaseUnavailable
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.usecases.flags import create_flag, edit_flag
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_new_flag
from tests.contract.conftest import Away
from tests.contract.refreshes import ADA, ALL, OFF, UNREADABLE, enabled, looks
from tests.processes import until
from tests.recorder import recorded

RUIN = "UPDATE feature_flags SET created_at = {} WHERE environment IN {}"
MEND = "UPDATE feature_flags SET created_at = changed_at"


def ruin(engine: sa.Engine, *environments: str) -> None:
    with engine.begin() as connection:
        names = "(" + ", ".join(f"'{name}'" for name in environments) + ")"
        connection.exec_driver_sql(RUIN.format(UNREADABLE[engine.dialect.name], names))


@pytest.mark.usefixtures("_flag")
def test_a_row_that_cannot_be_read_is_the_trouble_of_its_own_environment(
    engine: sa.Engine, store: SqlStore, clock: ManualClock, refresher: SnapshotRefresher
) -> None:
    create_flag(a_new_flag(environment="staging", enabled=True), by=ADMIN, store=store)
    create_flag(a_new_flag(environment="test", enabled=True), by=ADMIN, store=store)
    ruin(engine, "test")
    assert enabled(refresher, "staging")
    assert enabled(refresher)
    ruin(engine, "staging")
    clock.advance(seconds=301)
    until(lambda: enabled(refresher, "staging") and refresher.stale, seconds=5, what="the row is met")

    edit_flag(CHECKOUT, OFF, by=ADMIN, store=store)
    clock.advance(seconds=1)

    assert not enabled(refresher)
    assert enabled(refresher, "staging")
    assert refresher.stale
    with pytest.raises(DatabaseUnavailable, match="can't be read"):
        refresher.effective("test")


@pytest.mark.usefixtures("_flag")
def test_whoever_asks_for_what_cannot_be_read_costs_no_look_and_makes_nothing_else_seem_old(
    engine: sa.Engine, store: SqlStore, clock: ManualClock, anyone: FlaskClient
) -> None:
    create_flag(a_new_flag(environment="staging"), by=ADMIN, store=store)
    ruin(engine, "staging")
    anyone.post(ALL, json=ADA)
    clock.advance(seconds=2)

    with recorded(engine) as statements:
        asked = [anyone.post(f"{ALL}?environment=staging", json=ADA).status_code for _ in range(50)]
        production = anyone.post(ALL, json=ADA)

    assert asked == [503] * 50
    assert looks(statements) <= 5
    assert "Flagsched-Snapshot-Age" not in production.headers


@pytest.mark.usefixtures("_flag")
def test_what_was_lost_and_cannot_be_read_at_once_is_read_whole_once_it_can(
    engine: sa.Engine, clock: ManualClock, refresher: SnapshotRefresher, told: list[Exception | None], away: Away
) -> None:
    assert enabled(refresher)

    with away():
        clock.advance(seconds=2)
        assert enabled(refresher)
        until(lambda: len(told) == 1, what="lost")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE feature_flags SET enabled = false")
    ruin(engine, "production")
    until(lambda: isinstance(refresher.problem, ValueError), seconds=5, what="it can't be read")
    with engine.begin() as connection:
        connection.exec_driver_sql(MEND)

    until(lambda: not enabled(refresher), seconds=5, what="read whole")


@pytest.mark.usefixtures("_flag")
def test_a_log_that_fails_stops_no_look(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    def on_problem(problem: Exception | None) -> None:
        raise OSError(f"the disk is full: {problem}")

    refresher = SnapshotRefresher(store, monotonic=lambda: clock().timestamp(), on_problem=on_problem)
    assert enabled(refresher)
    ruin(engine, "production")
    clock.advance(seconds=301)
    until(lambda: enabled(refresher) and refresher.problem is not None, seconds=5, what="it can't be read")
    with engine.begin() as connection:
        connection.exec_driver_sql(MEND)
    edit_flag(CHECKOUT, OFF, by=ADMIN, store=store)

    until(lambda: not enabled(refresher), seconds=5, what="the edit is seen")
    refresher.close()
