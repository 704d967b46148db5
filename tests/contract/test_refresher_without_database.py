"""What is told while the database is away, or a hand has been in it, and what the log says of that."""

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import DatabaseUnavailable
from flagsched.domain.flags import FlagEdit
from flagsched.domain.updates import Updates
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.usecases.flags import create_flag, edit_flag
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_new_flag
from tests.contract.conftest import Away
from tests.contract.refreshes import ADA, ALL, OFF, ONE, UNREADABLE, enabled, plan_off
from tests.processes import until


@pytest.mark.usefixtures("_flag")
def test_while_the_database_is_away_answers_go_on_with_what_is_planned_and_say_how_old_they_are(
    store: SqlStore, clock: ManualClock, anyone: FlaskClient, away: Away
) -> None:
    plan_off(store, 10)
    before = anyone.post(ONE, json=ADA)

    with away():
        clock.advance(seconds=9)
        planned = anyone.post(ONE, json=ADA)
        clock.advance(seconds=1)
        changed = anyone.post(ALL, json=ADA)
        ready = anyone.get("/readyz")
    edit_flag(CHECKOUT, FlagEdit(Updates(enabled=True)), by=ADMIN, store=store)
    until(lambda: "Flagsched-Snapshot-Age" not in anyone.post(ONE, json=ADA).headers, what="fresh again")
    fresh = anyone.post(ONE, json=ADA)

    assert (before.get_json()["value"], before.headers.get("Flagsched-Snapshot-Age")) == (True, None)
    assert (planned.get_json()["value"], planned.headers["Flagsched-Snapshot-Age"]) == (True, "9")
    assert (changed.get_json()["flags"][0]["value"], changed.headers["Flagsched-Snapshot-Age"]) == (False, "10")
    assert (ready.status_code, ready.json) == (200, {"status": "ready", "degraded": True, "snapshotAgeSeconds": 10})
    assert (fresh.get_json()["value"], fresh.get_json()["metadata"]["version"]) == (True, 3)
    assert anyone.get("/readyz").json == {"status": "ready", "degraded": False, "snapshotAgeSeconds": 0}


@pytest.mark.usefixtures("_flag")
def test_if_nothing_is_known_yet_it_is_told_so_until_the_database_is_there(anyone: FlaskClient, away: Away) -> None:
    with away():
        refused = [anyone.post(path, json=ADA) for path in (ONE, ALL)]
        unready = anyone.get("/readyz")

    assert [answer.status_code for answer in [*refused, unready]] == [503, 503, 503]
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
    until(lambda: anyone.post(ONE, json=ADA).status_code == 200, seconds=5, what="answers")


@pytest.mark.usefixtures("_flag")
def test_a_process_that_can_answer_is_ready_from_the_first_moment_without_a_database(
    clock: ManualClock, anyone: FlaskClient, away: Away
) -> None:
    anyone.post(ONE, json=ADA)

    with away():
        ready = anyone.get("/readyz")
        clock.advance(seconds=2)
        later = anyone.get("/readyz")

    assert (ready.status_code, ready.json) == (200, {"status": "ready", "degraded": True, "snapshotAgeSeconds": 0})
    assert (later.status_code, later.json) == (200, {"status": "ready", "degraded": True, "snapshotAgeSeconds": 2})


@pytest.mark.usefixtures("_flag")
def test_a_process_that_was_ready_can_answer_without_a_database_though_nobody_has_asked_it_yet(
    clock: ManualClock, anyone: FlaskClient, away: Away
) -> None:
    assert anyone.get("/readyz").get_json()["degraded"] is False

    with away():
        clock.advance(seconds=2)
        told = anyone.post(ONE, json=ADA)

    assert (told.status_code, told.get_json()["value"]) == (200, True)


def test_a_ready_process_answers_without_a_database_for_flags_that_were_made_after_its_start(
    store: SqlStore, clock: ManualClock, anyone: FlaskClient, away: Away
) -> None:
    assert anyone.get("/readyz").get_json()["degraded"] is False
    for environment in ("production", "staging"):
        create_flag(a_new_flag(environment=environment, enabled=True), by=ADMIN, store=store)
    clock.advance(seconds=2)
    assert anyone.get("/readyz").get_json()["degraded"] is False

    with away():
        clock.advance(seconds=2)
        told = [anyone.post(f"{ONE}?environment={name}", json=ADA) for name in ("production", "staging")]

    assert [(one.status_code, one.get_json()["value"]) for one in told] == [(200, True), (200, True)]


@pytest.mark.usefixtures("_flag")
def test_it_is_told_once_that_the_database_is_away_and_once_that_it_is_back(
    clock: ManualClock, refresher: SnapshotRefresher, told: list[Exception | None], away: Away
) -> None:
    assert enabled(refresher)
    well = list(told)

    with away():
        for _ in range(3):
            clock.advance(seconds=2)
            assert enabled(refresher)
    until(lambda: len(told) == 2, seconds=5, what="told that it is back")

    assert well == []
    assert isinstance(told[0], DatabaseUnavailable)
    assert told[1] is None


@pytest.mark.usefixtures("_flag")
def test_a_row_that_is_changed_by_hand_is_seen_when_all_is_read_anew(
    engine: sa.Engine, clock: ManualClock, refresher: SnapshotRefresher
) -> None:
    assert enabled(refresher)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE feature_flags SET enabled = false"))

    clock.advance(seconds=301)

    until(lambda: not enabled(refresher), seconds=5, what="seen")


@pytest.mark.usefixtures("_flag")
def test_a_row_that_cannot_be_read_stops_no_answer(
    engine: sa.Engine, store: SqlStore, clock: ManualClock, refresher: SnapshotRefresher, told: list[Exception | None]
) -> None:
    plan_off(store, 1000)
    assert enabled(refresher)
    ruined = f"UPDATE feature_flag_schedules SET scheduled_at = {UNREADABLE[engine.dialect.name]}"
    mended = sa.text("UPDATE feature_flag_schedules SET scheduled_at = (SELECT next_due_at FROM feature_flags)")

    with engine.begin() as connection:
        connection.exec_driver_sql(ruined)
    clock.advance(seconds=301)
    until(lambda: enabled(refresher) and refresher.stale and told, seconds=5, what="the row is met")
    with engine.begin() as connection:
        connection.execute(mended)
    until(lambda: enabled(refresher) and not refresher.stale, seconds=5, what="fresh again")

    assert len(told) == 2
    assert told[0] is not None
    assert told[1] is None


@pytest.mark.usefixtures("_flag")
def test_a_database_that_was_away_may_be_another_when_it_is_back(
    engine: sa.Engine, clock: ManualClock, refresher: SnapshotRefresher, away: Away
) -> None:
    assert enabled(refresher)

    with away():
        clock.advance(seconds=2)
        assert enabled(refresher)
        until(lambda: refresher.stale, what="noticed")
    with engine.begin() as connection:
        # As many writes as in the one that was lost, but others.
        connection.execute(sa.text("UPDATE feature_flags SET enabled = false"))

    until(lambda: not enabled(refresher), seconds=5, what="read anew")


@pytest.mark.usefixtures("_flag")
def test_flags_whose_environment_was_removed_by_hand_go_on_as_planned(
    engine: sa.Engine, store: SqlStore, clock: ManualClock, refresher: SnapshotRefresher
) -> None:
    plan_off(store, 10)
    assert enabled(refresher)

    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM feature_flag_environments")
    clock.advance(seconds=10)

    assert not enabled(refresher)
    edit_flag(CHECKOUT, FlagEdit(Updates(enabled=True)), by=ADMIN, store=store)
    until(lambda: enabled(refresher), seconds=5, what="the edit is seen")


@pytest.mark.usefixtures("_flag")
def test_once_closed_nobody_looks_any_more_and_nobody_waits_for_it(
    store: SqlStore, clock: ManualClock, refresher: SnapshotRefresher
) -> None:
    assert enabled(refresher)

    refresher.close()
    edit_flag(CHECKOUT, OFF, by=ADMIN, store=store)
    clock.advance(seconds=5)
    answers = [enabled(refresher) for _ in range(100)]

    assert answers == [True] * 100
    assert refresher.stale
