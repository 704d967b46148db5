"""Locks and clocks of PostgreSQL, with transactions that are open at once."""

import errno
import os
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine, timeouts
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import (
    DatabaseUnavailable,
    FlagBusy,
    FlagExists,
    FlagMissing,
    InstantsRefused,
    SchemaOutdated,
)
from flagsched.domain.flags import FlagEdit, FlagName
from flagsched.domain.history import Actor
from flagsched.domain.limits import ScheduleLimits
from flagsched.domain.schedules import PlannedChange
from flagsched.domain.updates import Updates
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.flags import archive_flag, create_flag, edit_flag, read_flag
from flagsched.usecases.materialise import Recorded, materialise_due
from flagsched.usecases.schedules import plan_schedules
from flagsched.worker.drain import Drain
from tests.builders import ADMIN, CHECKOUT, a_new_flag
from tests.contract.postgresql.lock_waits import plan, soon, waiting_for_locks
from tests.databases import administer
from tests.faults.proxy import through_proxy
from tests.poolers import POOLED_TOO
from tests.processes import until
from tests.rows import all_history, count


def test_a_flag_archived_while_a_batch_waits_for_it_gets_no_schedule(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    with store.writing() as work:
        flag = work.flags.lock([CHECKOUT])[CHECKOUT]
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
        work.flags.lock([CHECKOUT])
        planning = in_background(plan, store, at)
        until(lambda: waiting_for_locks(engine) == 1)
        until(lambda: soon(store, 0) > at)

    with pytest.raises(InstantsRefused):
        planning.result(timeout=5)
    assert count(engine, "feature_flag_schedules") == 0


@POOLED_TOO
def test_a_writer_that_waits_too_long_is_told_so(store: SqlStore) -> None:
    with store.writing() as work:
        work.flags.lock([CHECKOUT])
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
        work.flags.lock([CHECKOUT])
        assert materialise_due(store, Backoff(monotonic)) == Recorded(1)
        assert materialise_due(store, Backoff(monotonic)) == Recorded(0)

    assert materialise_due(store, Backoff(monotonic)) == Recorded(1)


def drained(store: SqlStore) -> list[str]:
    """Drain, and give the causes of what failed."""
    return [postponement.cause for postponement in Drain(store)()]


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
        materialise_due(store, Backoff(monotonic))


def test_the_last_hour_of_the_calendar_is_read_wherever_the_server_stands(
    engine: sa.Engine, postgresql_url: sa.URL
) -> None:
    with engine.begin() as somebody:
        somebody.exec_driver_sql(f"ALTER DATABASE {engine.url.database} SET timezone = 'Asia/Tokyo'")
    in_tokyo = open_engine(postgresql_url, Limits())
    store = SqlStore(in_tokyo)
    create_flag(a_new_flag(), by=ADMIN, store=store)
    last_second = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

    ages = ScheduleLimits(horizon=timedelta(days=9_000_000))
    change = PlannedChange(last_second, Updates(enabled=True))
    plan_schedules(CHECKOUT, [change], batch=False, by=ADMIN, store=store, limits=ages)

    assert read_flag(CHECKOUT, store=store).next_change_at == last_second
    in_tokyo.dispose()
    with engine.begin() as somebody:
        somebody.exec_driver_sql(f"ALTER DATABASE {engine.url.database} RESET timezone")


def test_an_open_foreign_key_check_does_not_hide_a_flag_from_the_worker(store: SqlStore, engine: sa.Engine) -> None:
    at = soon(store, 0.2)
    plan(store, at)
    until(lambda: soon(store, 0) > at)

    with engine.begin() as somebody:
        somebody.exec_driver_sql("SELECT 1 FROM feature_flags FOR KEY SHARE")
        assert materialise_due(store, Backoff(monotonic)) == Recorded(1)


def test_two_workers_never_hold_one_flag(store: SqlStore, engine: sa.Engine) -> None:
    at = soon(store, 0.2)
    plan(store, at)
    until(lambda: soon(store, 0) > at)

    with store.writing() as one, store.writing() as other:
        assert len(one.flags.claim_due(20, passing_over=[])) == 1
        assert other.flags.claim_due(20, passing_over=[]) == []

    materialise_due(store, Backoff(monotonic))
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


def test_a_database_that_closes_each_connection_at_once_is_away(store: SqlStore, postgresql_url: sa.URL) -> None:
    with through_proxy(postgresql_url) as (url, proxy):
        engine = open_engine(url, Limits())
        through = SqlStore(engine)
        assert read_flag(CHECKOUT, store=through) == read_flag(CHECKOUT, store=store)

        proxy.hang_up_when_ready = True
        engine.dispose()
        with pytest.raises(DatabaseUnavailable):
            read_flag(CHECKOUT, store=through)
        engine.dispose()


def test_a_connection_that_has_just_been_ended_is_replaced_unnoticed(store: SqlStore, postgresql_url: sa.URL) -> None:
    read_flag(CHECKOUT, store=store)
    administer(
        postgresql_url,
        "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity "
        "WHERE application_name = 'flagsched' AND datname = current_database()",
    )

    assert read_flag(CHECKOUT, store=store).flag.name == CHECKOUT


@pytest.mark.parametrize("of_a_host", [True, False])
def test_a_process_with_too_many_open_files_is_told_so(
    postgresql_url: sa.URL, monkeypatch: pytest.MonkeyPatch, of_a_host: bool
) -> None:
    engine = sa.create_engine(postgresql_url) if of_a_host else open_engine(postgresql_url, Limits())
    SqlStore(engine).check()

    def refuse(number: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files", number)

    monkeypatch.setattr(os, "dup", refuse)
    with pytest.raises(DatabaseUnavailable):
        SqlStore(engine).check()
    monkeypatch.undo()
    SqlStore(engine).check()
    engine.dispose()


def test_on_a_hosts_own_engine_a_locked_flag_is_busy_and_its_connections_stay(postgresql_url: sa.URL) -> None:
    hosts = sa.create_engine(postgresql_url)
    store = SqlStore(hosts, timeouts=timeouts(Limits()))
    create_flag(a_new_flag(), by=ADMIN, store=store)
    with hosts.begin() as host:
        host.exec_driver_sql("SELECT 1 FROM feature_flags FOR UPDATE")
        began = monotonic()
        with pytest.raises(FlagBusy):
            edit_flag(CHECKOUT, FlagEdit(description="x"), by=ADMIN, store=store)

    assert 2.5 < monotonic() - began < 4
    with hosts.connect() as host:
        assert host.exec_driver_sql("SHOW lock_timeout").scalar_one() == "0"
    hosts.dispose()


def test_a_flag_whose_record_takes_too_long_delays_no_other_for_good(store: SqlStore, engine: sa.Engine) -> None:
    create_flag(a_new_flag("free"), by=ADMIN, store=store)
    at = soon(store, 0.2)
    for key in ("new-checkout", "free"):
        plan(store, at, name=FlagName("production", key))
    with engine.begin() as somebody:
        # Each statement within its time, all of them longer than a transaction has.
        somebody.exec_driver_sql(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN PERFORM pg_sleep(0.7); RETURN NEW; END $$"
        )
        for change in ("INSERT ON feature_flag_history", "UPDATE ON feature_flags"):
            key = "flag_key" if "history" in change else "key"
            somebody.exec_driver_sql(
                f"CREATE TRIGGER dawdle BEFORE {change} FOR EACH ROW WHEN (NEW.{key} = 'new-checkout') "
                "EXECUTE FUNCTION dawdle()"
            )
    until(lambda: soon(store, 0) > at)
    hasty = SqlStore(engine, seconds=1.0)
    drain = Drain(hasty)

    def free_is_recorded() -> bool:
        with suppress(DatabaseUnavailable):
            drain()
        return read_flag(FlagName("production", "free"), store=store).materialized

    until(free_is_recorded, seconds=6)
    assert len(drain.backoff.known()) == 1
    assert read_flag(CHECKOUT, store=store).state.enabled


def test_a_repair_leaves_alone_the_flags_that_are_created_meanwhile(store: SqlStore, engine: sa.Engine) -> None:
    with store.writing() as work:
        locked = work.flags.lock_environment("production")
        create_flag(a_new_flag("later"), by=ADMIN, store=store)
        work.flags.repair(locked, work.publish({"production": None}, at_least=1000)["production"])
        work.commit()

    with engine.connect() as connection:
        revisions = connection.exec_driver_sql("SELECT revision FROM feature_flags ORDER BY key").scalars().all()
    assert revisions == [2, 1000]


def test_a_connection_that_was_cut_is_replaced(store: SqlStore, engine: sa.Engine) -> None:
    read_flag(CHECKOUT, store=store)
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    assert read_flag(CHECKOUT, store=store).flag.name == CHECKOUT
