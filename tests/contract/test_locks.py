"""Locks and clocks of PostgreSQL, with transactions that are open at once."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
import sqlalchemy as sa

from flagsched.database.engine import Limits, open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import (
    AlreadyApplied,
    DatabaseUnavailable,
    FlagBusy,
    FlagExists,
    FlagMissing,
    InstantsRefused,
    Overtaken,
    SchemaOutdated,
)
from flagsched.domain.flags import FlagEdit, FlagName
from flagsched.domain.history import Actor
from flagsched.domain.schedules import PlanLimits, PlannedChange
from flagsched.domain.updates import Updates
from flagsched.usecases.flags import archive_flag, create_flag, edit_flag, read_flag
from flagsched.usecases.materialise import Recorded, Setbacks, materialise_due
from flagsched.usecases.schedules import cancel_schedule, plan_schedules
from flagsched.worker.tick import Drain
from tests.builders import ADMIN, CHECKOUT, a_new_flag
from tests.processes import until
from tests.rows import all_history, all_schedules, count


@pytest.fixture
def engine(postgresql_url: sa.URL) -> Iterator[sa.Engine]:
    engine = open_engine(postgresql_url, Limits())
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: sa.Engine) -> SqlStore:
    """A store that looks at the database's own clock."""
    store = SqlStore(engine)
    create_flag(a_new_flag(), by=ADMIN, store=store)
    return store


@pytest.fixture
def in_background() -> Iterator[Callable[..., "Future[object]"]]:
    with ThreadPoolExecutor() as pool:
        yield pool.submit


def soon(store: SqlStore, seconds: float) -> datetime:
    with store.reading() as work:
        return work.at + timedelta(seconds=seconds)


def plan(store: SqlStore, *at: datetime, name: FlagName = CHECKOUT) -> None:
    changes = [PlannedChange(one, Updates(enabled=True)) for one in at]
    plan_schedules(name, changes, batch=True, by=ADMIN, store=store)


def waiting_for_locks(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        waiting: int = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ).scalar_one()
        return waiting


def test_a_flag_archived_while_a_batch_waits_for_it_gets_no_schedule(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    with store.writing() as work:
        flag = work.flags.lock(CHECKOUT)
        assert flag is not None
        planning = in_background(plan, store, soon(store, 60), soon(store, 61))
        until(lambda: waiting_for_locks(engine) == 1)
        work.flags.settle([flag.archived(work.now())])
        work.commit()

    with pytest.raises(FlagMissing):
        planning.result(timeout=5)
    assert count(engine, "feature_flag_schedules") == 0


def test_a_writer_looks_at_the_clock_only_once_it_has_the_lock(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.5)
    with store.writing() as work:
        work.flags.lock(CHECKOUT)
        planning = in_background(plan, store, at)
        until(lambda: waiting_for_locks(engine) == 1)
        until(lambda: soon(store, 0) > at)

    with pytest.raises(InstantsRefused):
        planning.result(timeout=5)
    assert count(engine, "feature_flag_schedules") == 0


def test_a_writer_that_waits_too_long_is_told_so(store: SqlStore) -> None:
    with store.writing() as work:
        work.flags.lock(CHECKOUT)
        began = monotonic()
        with pytest.raises(FlagBusy):
            edit_flag(CHECKOUT, FlagEdit(description="x"), by=ADMIN, store=store)

    assert 2.5 < monotonic() - began < 4


def test_a_locked_flag_delays_no_other(store: SqlStore) -> None:
    create_flag(a_new_flag("free"), by=ADMIN, store=store)
    at = soon(store, 0.2)
    for key in ("new-checkout", "free"):
        plan(store, at, name=FlagName("production", key))
    until(lambda: soon(store, 0) > at)

    with store.writing() as work:
        work.flags.lock(CHECKOUT)
        assert materialise_due(store, Setbacks(monotonic)) == Recorded(1)
        assert materialise_due(store, Setbacks(monotonic)) == Recorded(0)

    assert materialise_due(store, Setbacks(monotonic)) == Recorded(1)


def drained(store: SqlStore) -> list[str]:
    """Drain, and give the causes of what failed."""
    return [setback.cause for setback in Drain(store)()]


def test_a_locked_schedule_delays_only_its_own_flag(store: SqlStore, engine: sa.Engine) -> None:
    create_flag(a_new_flag("free"), by=ADMIN, store=store)
    at = soon(store, 0.2)
    for key in ("new-checkout", "free"):
        plan(store, at, name=FlagName("production", key))
    until(lambda: soon(store, 0) > at)

    with engine.begin() as somebody:
        somebody.exec_driver_sql(
            "SELECT 1 FROM feature_flag_schedules WHERE flag_id = "
            "(SELECT id FROM feature_flags WHERE key = 'new-checkout') FOR UPDATE"
        )
        (cause,) = drained(store)

    assert "lock timeout" in cause
    assert read_flag(FlagName("production", "free"), store=store).materialized
    assert not read_flag(CHECKOUT, store=store).materialized


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("PERFORM pg_sleep(10)", "statement timeout"),
        ("RAISE undefined_table", "undefined_table"),
        ("RAISE data_corrupted", "data_corrupted"),
    ],
)
def test_a_failing_trigger_delays_only_its_own_flag(
    store: SqlStore, engine: sa.Engine, postgresql_url: sa.URL, body: str, cause: str
) -> None:
    create_flag(a_new_flag("free"), by=ADMIN, store=store)
    with engine.begin() as somebody:
        somebody.exec_driver_sql(
            f"CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$"
        )
        somebody.exec_driver_sql(
            "CREATE TRIGGER trouble BEFORE UPDATE ON feature_flag_schedules FOR EACH ROW "
            "WHEN (NEW.status = 'applied' AND NEW.created_by = 'trouble') EXECUTE FUNCTION trouble()"
        )
    at = soon(store, 0.2)
    for key, admin in (("new-checkout", "trouble"), ("free", "ada")):
        changes = [PlannedChange(at, Updates(enabled=True))]
        plan_schedules(FlagName("production", key), changes, batch=False, by=Actor(admin), store=store)
    until(lambda: soon(store, 0) > at)

    hasty = open_engine(postgresql_url, Limits(statement_seconds=1))
    causes = drained(SqlStore(hasty))
    hasty.dispose()

    assert [cause in told for told in causes] == [True]
    assert read_flag(FlagName("production", "free"), store=store).materialized
    assert read_flag(CHECKOUT, store=store).state.enabled


def test_a_claim_that_the_database_refuses_is_not_taken_for_nothing_to_do(store: SqlStore, engine: sa.Engine) -> None:
    with engine.begin() as somebody:
        somebody.exec_driver_sql("ALTER TABLE feature_flags RENAME COLUMN retry_at TO later")

    with pytest.raises(SchemaOutdated):
        materialise_due(store, Setbacks(monotonic))


def held_up_over(
    at: datetime, store: SqlStore, engine: sa.Engine, begin: Callable[[], "Future[object]"]
) -> "Future[object]":
    """Let a writer take the flag's lock and look at the clock, and then keep it waiting until `at` has passed."""
    with engine.begin() as somebody:
        somebody.exec_driver_sql("SELECT 1 FROM feature_flag_environments FOR UPDATE")
        held_up = begin()
        until(lambda: waiting_for_locks(engine) == 1)
        until(lambda: soon(store, 0) > at)
        seen = read_flag(CHECKOUT, store=store).state
        assert (seen.enabled, seen.version) == (True, 2)
    return held_up


def told(engine: sa.Engine) -> list[tuple[str, int]]:
    return [(e.action, e.flag_version) for e in all_history(engine)]


CREATED = [("flag.created", 1), ("schedule.created", 1)]


def test_a_cancel_that_is_held_up_over_its_instant_is_refused(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.6)
    plan(store, at)
    (planned,) = all_schedules(engine)

    cancelling = held_up_over(
        at, store, engine, lambda: in_background(cancel_schedule, CHECKOUT, planned.id, by=ADMIN, store=store)
    )

    with pytest.raises(AlreadyApplied):
        cancelling.result(timeout=5)
    assert told(engine) == [*CREATED, ("schedule.applied", 2)]
    assert [s.status for s in all_schedules(engine)] == ["applied"]


def test_an_edit_that_is_held_up_over_an_instant_comes_after_it(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.6)
    plan(store, at)
    edit = FlagEdit(Updates(rollout_percentage=7))

    held_up_over(at, store, engine, lambda: in_background(edit_flag, CHECKOUT, edit, by=ADMIN, store=store)).result(
        timeout=5
    )

    now = read_flag(CHECKOUT, store=store).state
    assert (now.enabled, now.rollout_percentage, now.version) == (True, 7, 3)
    assert told(engine) == [*CREATED, ("schedule.applied", 2), ("flag.updated", 3)]


def test_an_archive_that_is_held_up_over_an_instant_cancels_only_the_rest(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.6)
    plan(store, at, at + timedelta(minutes=1))

    held_up_over(at, store, engine, lambda: in_background(archive_flag, CHECKOUT, by=ADMIN, store=store)).result(
        timeout=5
    )

    assert [s.status for s in all_schedules(engine)] == ["applied", "cancelled"]
    assert told(engine)[3:] == [("schedule.applied", 2), ("schedule.cancelled", 2), ("flag.archived", 3)]


def test_a_plan_that_is_held_up_over_its_instant_is_refused(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    at = soon(store, 0.6)
    plan(store, at)

    planning = held_up_over(at, store, engine, lambda: in_background(plan, store, at - timedelta(milliseconds=1)))

    with pytest.raises(InstantsRefused):
        planning.result(timeout=5)
    assert len(all_schedules(engine)) == 1


def test_what_is_overtaken_again_and_again_is_busy(store: SqlStore, engine: sa.Engine) -> None:
    with engine.begin() as somebody:
        somebody.exec_driver_sql("UPDATE feature_flags SET next_due_at = now() + interval '1 hour'")
        somebody.exec_driver_sql(
            "CREATE FUNCTION overtake() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
        )
        somebody.exec_driver_sql(
            "CREATE TRIGGER overtake BEFORE UPDATE ON feature_flags FOR EACH ROW EXECUTE FUNCTION overtake()"
        )

    with pytest.raises(Overtaken):
        edit_flag(CHECKOUT, FlagEdit(description="x"), by=ADMIN, store=store)


def test_the_last_hour_of_the_calendar_is_read_wherever_the_server_stands(
    engine: sa.Engine, postgresql_url: sa.URL
) -> None:
    with engine.begin() as somebody:
        somebody.exec_driver_sql(f"ALTER DATABASE {engine.url.database} SET timezone = 'Asia/Tokyo'")
    in_tokyo = open_engine(postgresql_url, Limits())
    store = SqlStore(in_tokyo)
    create_flag(a_new_flag(), by=ADMIN, store=store)
    last_second = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

    ages = PlanLimits(horizon=timedelta(days=9_000_000))
    change = PlannedChange(last_second, Updates(enabled=True))
    plan_schedules(CHECKOUT, [change], batch=False, by=ADMIN, store=store, limits=ages)

    assert read_flag(CHECKOUT, store=store).next_change_at == last_second
    in_tokyo.dispose()
    with engine.begin() as somebody:
        somebody.exec_driver_sql(f"ALTER DATABASE {engine.url.database} RESET timezone")


def test_cancels_and_recordings_at_the_same_instant_agree(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    begin = soon(store, 0.3)
    plan(store, *(begin + timedelta(milliseconds=10 * n) for n in range(40)))
    planned = all_schedules(engine)

    def record_for_a_while() -> None:
        while soon(store, 0) < begin + timedelta(seconds=0.8):
            materialise_due(store, Setbacks(monotonic))

    def cancel_each() -> list[bool]:
        answers = []
        for schedule in planned:
            just_before = schedule.scheduled_at - timedelta(milliseconds=3)
            until(lambda: soon(store, 0) >= just_before)  # noqa: B023 - called at once
            try:
                cancel_schedule(CHECKOUT, schedule.id, by=ADMIN, store=store)
                answers.append(True)
            except AlreadyApplied:
                answers.append(False)
        return answers

    recording = in_background(record_for_a_while)
    answers = cancel_each()
    recording.result(timeout=10)

    assert [s.status for s in all_schedules(engine)] == ["cancelled" if yes else "applied" for yes in answers]
    applied = [e for e in all_history(engine) if e.action == "schedule.applied"]
    assert [e.flag_version for e in applied] == list(range(2, 2 + answers.count(False)))
    assert [e.effective_at for e in applied] == sorted(e.effective_at for e in applied)


def test_an_open_foreign_key_check_does_not_hide_a_flag_from_the_worker(store: SqlStore, engine: sa.Engine) -> None:
    at = soon(store, 0.2)
    plan(store, at)
    until(lambda: soon(store, 0) > at)

    with engine.begin() as somebody:
        somebody.exec_driver_sql("SELECT 1 FROM feature_flags FOR KEY SHARE")
        assert materialise_due(store, Setbacks(monotonic)) == Recorded(1)


def test_two_workers_never_hold_one_flag(store: SqlStore, engine: sa.Engine) -> None:
    at = soon(store, 0.2)
    plan(store, at)
    until(lambda: soon(store, 0) > at)

    with store.writing() as one, store.writing() as other:
        assert len(one.flags.claim_due(20, passing_over=[])) == 1
        assert other.flags.claim_due(20, passing_over=[]) == []

    materialise_due(store, Setbacks(monotonic))
    assert sum(e.action == "schedule.applied" for e in all_history(engine)) == 1


def test_a_reader_sees_one_instant_of_the_database(store: SqlStore) -> None:
    with store.reading() as work:
        edit_flag(CHECKOUT, FlagEdit(Updates(enabled=True)), by=ADMIN, store=store)
        seen = work.flags.find(CHECKOUT)

    assert seen is not None
    assert not seen.state.enabled
    assert read_flag(CHECKOUT, store=store).state.enabled


def test_a_reader_cannot_write(store: SqlStore) -> None:
    with store.reading() as work, pytest.raises(sa.exc.InternalError, match="read-only transaction"):
        work.flags.connection.exec_driver_sql("UPDATE feature_flags SET enabled = true")


def test_now_is_the_databases_clock(store: SqlStore, engine: sa.Engine) -> None:
    with engine.connect() as connection:
        database_now: datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()

    with store.reading() as work:
        assert timedelta(0) <= work.at - database_now.astimezone(UTC) + timedelta(milliseconds=1) < timedelta(seconds=1)


def test_an_archive_and_a_creation_of_the_same_key_do_not_deadlock(
    store: SqlStore, in_background: Callable[..., "Future[object]"]
) -> None:
    def churn() -> None:
        for _ in range(15):
            for attempt in (
                lambda: archive_flag(CHECKOUT, by=ADMIN, store=store),
                lambda: create_flag(a_new_flag(), by=ADMIN, store=store),
            ):
                with suppress(FlagMissing, FlagExists):
                    attempt()

    for done in [in_background(churn) for _ in range(4)]:
        done.result(timeout=30)


def test_a_database_that_is_not_there_is_told_within_five_seconds() -> None:
    url = sa.make_url("postgresql+psycopg2://nobody@127.0.0.1:1/none")
    began = monotonic()

    with pytest.raises(DatabaseUnavailable):
        SqlStore(open_engine(url, Limits())).check()

    assert monotonic() - began < 5


def test_a_connection_that_was_cut_is_replaced(store: SqlStore, engine: sa.Engine) -> None:
    read_flag(CHECKOUT, store=store)
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    assert read_flag(CHECKOUT, store=store).flag.name == CHECKOUT
