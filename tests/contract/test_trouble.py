"""Trouble, on every database: what is in effect can't fail, and one flag's trouble is its own."""

from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from flagsched.database.schema.tables import flags as flags_table
from flagsched.database.schema.tables import schedules as schedules_table
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import StatementFailed
from flagsched.domain.timeline import replay
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.doctor import examine
from flagsched.usecases.flags import create_flag, read_flag
from flagsched.usecases.materialise import Recorded, look_ahead, materialise_due
from tests.builders import ADMIN, ManualClock, a_new_flag, after
from tests.contract.records import a_planned_flag, drain, named, run
from tests.rows import all_history, all_schedules


def test_an_unreadable_schedule_is_marked_failed_with_the_reason(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    a_planned_flag(store, "new-checkout", 10, 20)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE feature_flag_schedules SET updates = '{\"enabled\": 7}' WHERE seq = 1")
    clock.advance(seconds=30)

    drain(store, backoff)

    bad, good = all_schedules(engine)
    assert (bad.status, bad.error_message, bad.flag_version) == ("failed", "enabled is not a boolean", None)
    assert (good.status, good.flag_version) == ("applied", 2)
    assert [e.action for e in all_history(engine)[3:]] == ["schedule.failed", "schedule.applied"]


REFUSE_ONE_FLAG = {
    "sqlite": [
        """CREATE TRIGGER refuse BEFORE INSERT ON feature_flag_history
           WHEN NEW.action = 'schedule.applied' AND NEW.flag_key = 'bad'
           BEGIN SELECT RAISE(ABORT, 'not this one'); END"""
    ],
    "postgresql": [
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$",
        """CREATE TRIGGER refuse BEFORE INSERT ON feature_flag_history FOR EACH ROW
           WHEN (NEW.action = 'schedule.applied' AND NEW.flag_key = 'bad') EXECUTE FUNCTION refuse()""",
    ],
}
ACCEPT_AGAIN = {
    "sqlite": "DROP TRIGGER refuse",
    "postgresql": "DROP TRIGGER refuse ON feature_flag_history",
}


def test_a_flag_that_cannot_be_recorded_delays_no_other_and_is_tried_again(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    for key in ("a", "bad", "z"):
        a_planned_flag(store, key, 10)
    run(engine, *REFUSE_ONE_FLAG[engine.dialect.name])
    clock.advance(seconds=10)

    _, (postponement,) = drain(store, backoff)

    assert "not this one" in postponement.cause
    assert postponement.delay == timedelta(seconds=1)
    assert [read_flag(named(key), store=store).materialized for key in ("a", "bad", "z")] == [True, False, True]
    assert read_flag(named("bad"), store=store).state.version == 2
    assert look_ahead(store, Backoff(backoff.monotonic)).due_at == after(11)

    clock.advance(seconds=1)
    _, (postponement,) = drain(store, backoff)
    assert postponement.delay == timedelta(seconds=2)

    run(engine, ACCEPT_AGAIN[engine.dialect.name])
    clock.advance(seconds=1)
    assert drain(store, backoff) == ([], [])
    assert not read_flag(named("bad"), store=store).materialized
    clock.advance(seconds=1)
    assert drain(store, backoff) == ([], [])
    assert read_flag(named("bad"), store=store).materialized
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM feature_flags WHERE retry_at IS NOT NULL").scalar() == 0


def test_a_setback_is_passed_over_also_when_it_could_not_be_written_down(
    store: SqlStore, clock: ManualClock, backoff: Backoff
) -> None:
    a_planned_flag(store, "bad", 10)
    clock.advance(seconds=10)
    backoff.note(read_flag(named("bad"), store=store).flag.id)

    assert materialise_due(store, backoff) == Recorded()
    assert look_ahead(store, backoff).due_at is None
    clock.advance(seconds=1)
    assert drain(store, backoff) == ([], [])
    assert read_flag(named("bad"), store=store).materialized
    assert backoff.known() == []


def test_a_flag_that_one_worker_puts_off_is_left_alone_by_all(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    a_planned_flag(store, "bad", 10)
    run(engine, *REFUSE_ONE_FLAG[engine.dialect.name])
    clock.advance(seconds=10)
    drain(store, backoff)

    another = Backoff(backoff.monotonic)
    assert drain(store, another) == ([], [])
    assert another.known() == []
    clock.advance(seconds=1)
    _, (postponement,) = drain(store, another)
    assert "not this one" in postponement.cause


def test_a_setback_that_somebody_else_has_recorded_is_forgotten(
    store: SqlStore, clock: ManualClock, backoff: Backoff
) -> None:
    a_planned_flag(store, "bad", 10)
    clock.advance(seconds=10)
    backoff.suspect([read_flag(named("bad"), store=store).flag.id])
    drain(store, Backoff(backoff.monotonic))

    drain(store, backoff)

    assert backoff.known() == []


def test_flags_that_only_look_due_starve_nobody(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    for n in range(25):
        create_flag(a_new_flag(f"idle-{n}"), by=ADMIN, store=store)
    with engine.begin() as connection:
        connection.execute(sa.update(flags_table).values(next_due_at=after(1)))
    a_planned_flag(store, "busy", 10)
    clock.advance(seconds=10)

    drain(store, backoff)

    assert read_flag(named("busy"), store=store).materialized
    assert look_ahead(store, backoff).due_at is None


def test_a_schedule_that_somebody_ended_by_hand_is_not_recorded_as_applied(
    store: SqlStore, clock: ManualClock, engine: sa.Engine
) -> None:
    a_planned_flag(store, "new-checkout", 10)
    clock.advance(seconds=10)

    with suppress(StatementFailed), store.writing() as work:
        claimed = work.flags.claim_due(1, passing_over=[])
        due = work.schedules.due(claimed, clock(), 9)[claimed[0].id]
        by_hand = sa.update(schedules_table).values(status="cancelled", cancelled_at=after(1), cancelled_by="somebody")
        work.connection.execute(by_hand)
        work.schedules.finish([replay(claimed[0], due, after(10))], after(10))
        pytest.fail("it was recorded")

    assert [e.action for e in all_history(engine)] == ["flag.created", "schedule.created"]


def test_setbacks_wait_longer_each_time_up_to_a_minute(clock: ManualClock, backoff: Backoff) -> None:
    flag_id = UUID(int=1)

    delays = [backoff.note(flag_id).total_seconds() for _ in range(9)]

    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert backoff.waiting() == [flag_id]
    clock.advance(seconds=61)
    assert backoff.waiting() == []


def test_while_a_record_fails_readers_see_each_change_and_no_version_is_used_twice(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    a_planned_flag(store, "bad", 10, 20, 30)
    run(engine, *REFUSE_ONE_FLAG[engine.dialect.name])
    seen, delays = [], []

    while clock.at < after(200):
        clock.advance(seconds=1)
        seen.append(read_flag(named("bad"), store=store).state)
        delays += [postponement.delay.total_seconds() for postponement in drain(store, backoff)[1]]
    trouble = [f for f in examine(store, clock.at) if not f.ok]
    run(engine, ACCEPT_AGAIN[engine.dialect.name])
    clock.advance(seconds=60)
    drain(store, backoff)

    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert [f.check for f in trouble] == ["record"]
    assert "not this one" in trouble[0].examples[0]
    applied = [e for e in all_history(engine) if e.action == "schedule.applied"]
    assert [(e.flag_version, e.effective_at) for e in applied] == [(2, after(10)), (3, after(20)), (4, after(30))]
    assert sorted({(state.version, state.changed_at) for state in seen})[1:] == [
        (e.flag_version, e.effective_at) for e in applied
    ]
    assert [f for f in examine(store, clock.at) if not f.ok] == []


FAR = {"sqlite": "soon", "postgresql": "20260-01-01T00:00:00Z"}
"""Instants that a column takes and Python can't read."""


def test_an_instant_that_cannot_be_read_delays_only_its_own_flag_and_the_doctor_names_it(
    store: SqlStore, clock: ManualClock, engine: sa.Engine, backoff: Backoff
) -> None:
    a_planned_flag(store, "bad", 10, 20)
    a_planned_flag(store, "good", 10)
    run(engine, f"UPDATE feature_flag_schedules SET scheduled_at = '{FAR[engine.dialect.name]}' WHERE seq = 2")
    clock.advance(seconds=30)

    _, failed = drain(store, backoff)

    assert read_flag(named("good"), store=store).materialized
    assert [one.cause.partition(":")[0] for one in failed] == ["a row can't be read"]
    broken = {one.check: one.examples for one in examine(store, clock()) if not one.ok}
    assert broken["next_due_at is what the agenda says"] == ["production/bad"]
