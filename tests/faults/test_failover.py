"""The address leads to a standby for a while, or to one that was promoted: nothing false is told, nothing is lost."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from time import monotonic

import pytest
import requests
import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine, timeouts
from flagsched.database.connections.primary import STANDBY
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import DatabaseReadOnly, DatabaseUnavailable
from flagsched.domain.flags import FlagEdit
from flagsched.domain.updates import Updates
from flagsched.usecases.doctor import examine
from flagsched.usecases.flags import edit_flag, read_flag
from flagsched.web.evaluation.caching import SNAPSHOT_AGE
from tests.builders import ADMIN
from tests.databases import administer, socket_of
from tests.faults.agendas import assert_recorded_once_in_order, create, in_steps, named, now, plan
from tests.faults.proxy import through_proxy
from tests.faults.readers import as_admin
from tests.faults.standby import Pair, streaming_pair
from tests.faults.traffic import Traffic, traffic, within
from tests.poolers import pgbouncer
from tests.processes import environment, until, web, worker
from tests.rows import all_history, all_schedules, count
from tests.servers import crash

AWAY_SECONDS = 4.0
LATEST_SECONDS = 5.0
WRITERS = [f"writer-{n}" for n in range(4)]
ON = FlagEdit(Updates(enabled=True))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A primary and a standby that stay what they are."""
    with streaming_pair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture
def url(pair: Pair) -> sa.URL:
    return pair.primary_url


@contextmanager
def opened(url: sa.URL) -> Iterator[sa.Engine]:
    engine = open_engine(url, Limits())
    yield engine
    engine.dispose()


def until_it_is_on(address: str) -> None:
    until(lambda: requests.get(f"{address}/api/config/flags/seen", timeout=20).json().get("enabled"), what="on")


def recorded(engine: sa.Engine, key: str) -> int:
    return sum(entry.action == "schedule.applied" and entry.flag_key == key for entry in all_history(engine))


def until_the_standby_has(url: sa.URL, flags: int) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    until(lambda: count(engine, "feature_flags") == flags, what="replicated")


def assert_no_write_was_refused_later(told: Traffic, right_at: float) -> None:
    assert {one.error for one in told.refused} == {(503, "DATABASE_UNAVAILABLE")}
    assert max(one.at for one in told.refused) - right_at < LATEST_SECONDS
    assert len(within(told.writes, right_at + LATEST_SECONDS)) > 10


def assert_evaluations_were_never_old(told: Traffic, right_at: float) -> None:
    assert {(one.answer.status_code, one.answer.json()["enabled"]) for one in told.evaluations} == {(200, True)}
    late = within(told.evaluations, right_at + LATEST_SECONDS)
    assert all(SNAPSHOT_AGE not in one.answer.headers for one in late)


def test_an_address_that_leads_to_a_standby_for_four_seconds_refuses_no_write_five_seconds_later(
    pair: Pair, store: SqlStore, engine: sa.Engine, tmp_path: Path
) -> None:
    create(store, *WRITERS, "seen", "planned")
    until_the_standby_has(pair.standby_url, len(WRITERS) + 2)
    # From here on the standby tells old state to whoever asks it.
    administer(pair.standby_url, "SELECT pg_wal_replay_pause()")
    edit_flag(named("seen"), ON, by=ADMIN, store=store)

    with (
        through_proxy(pair.primary_url) as (address_of_database, proxy),
        worker(address_of_database, tmp_path / "worker.log") as running,
        web(address_of_database, tmp_path / "web.log", FLAGSCHED_WRITES_PER_MINUTE="100000") as address,
    ):
        until_it_is_on(address)
        steps = in_steps(now(store) + timedelta(seconds=0.5), 20, apart=0.4)
        plan(store, "planned", steps)
        with traffic(address, WRITERS, "seen") as told:
            Event().wait(1)
            away_at = monotonic()
            proxy.lead_to(socket_of(pair.standby_url))
            proxy.hang_up()
            Event().wait(AWAY_SECONDS)
            # Whoever is connected stays where he is.
            proxy.lead_to(socket_of(pair.primary_url))
            right_at = monotonic()
            Event().wait(LATEST_SECONDS + 1)
        until(lambda: recorded(engine, "planned") == len(steps), seconds=5, what="recorded")
        assert running.stop() == 0
    administer(pair.standby_url, "SELECT pg_wal_replay_resume()")

    assert_no_write_was_refused_later(told, right_at)
    meanwhile = within(told.writes, away_at + 1, right_at)
    assert {(one.error, one.answer.json()["message"]) for one in meanwhile} == {
        ((503, "DATABASE_UNAVAILABLE"), STANDBY)
    }
    assert_evaluations_were_never_old(told, right_at)
    assert all(SNAPSHOT_AGE in one.answer.headers for one in within(told.evaluations, away_at + 2, right_at))
    assert {one.answer.status_code for one in told.readiness} == {200}
    assert all(one.answer.json()["degraded"] for one in within(told.readiness, away_at + 2, right_at))
    assert not any(one.answer.json()["degraded"] for one in within(told.readiness, right_at + LATEST_SECONDS))
    assert STANDBY in running.log
    assert_recorded_once_in_order(engine, {"planned": steps})
    assert [finding for finding in examine(store, datetime.now(UTC)) if not finding.ok] == []


def test_a_standby_that_is_promoted_has_all_that_was_answered_and_takes_writes_within_five_seconds(
    tmp_path: Path,
) -> None:
    with (
        streaming_pair(tmp_path) as pair,
        through_proxy(pair.primary_url) as (address_of_database, proxy),
        opened(pair.primary_url) as before,
        opened(pair.standby_url) as after,
    ):
        pair.wait_for_each_other()
        create(SqlStore(before), *WRITERS, "seen", "planned")
        edit_flag(named("seen"), ON, by=ADMIN, store=SqlStore(before))
        with (
            worker(address_of_database, tmp_path / "worker.log") as running,
            web(address_of_database, tmp_path / "web.log", FLAGSCHED_WRITES_PER_MINUTE="100000") as address,
        ):
            until_it_is_on(address)
            steps = in_steps(now(SqlStore(before)) + timedelta(seconds=0.5), 20, apart=0.3)
            plan(SqlStore(before), "planned", steps)
            with traffic(address, WRITERS, "seen") as told:
                Event().wait(1)
                crash(pair.primary)
                Event().wait(1)
                pair.promote()
                proxy.lead_to(socket_of(pair.standby_url))
                right_at = monotonic()
                Event().wait(LATEST_SECONDS + 1)
            until(lambda: recorded(after, "planned") == len(steps), seconds=5, what="recorded")
            assert running.stop() == 0

        assert_no_write_was_refused_later(told, right_at)
        assert_evaluations_were_never_old(told, right_at)
        answered = {one.answer.json()["id"] for one in told.writes if one not in told.refused}
        assert len(answered) > 20
        assert answered <= {str(schedule.id) for schedule in all_schedules(after)}
        assert_recorded_once_in_order(after, {"planned": steps})
        assert [finding for finding in examine(SqlStore(after), datetime.now(UTC)) if not finding.ok] == []


def test_what_begins_while_the_address_leads_to_a_standby_says_so_and_works_when_it_is_right(
    pair: Pair, tmp_path: Path
) -> None:
    with through_proxy(pair.primary_url) as (address_of_database, proxy):
        proxy.lead_to(socket_of(pair.standby_url))
        doctor = [sys.executable, "-m", "flagsched", "doctor"]
        examined = subprocess.run(
            doctor, cwd=tmp_path, env=environment(address_of_database), capture_output=True, text=True, check=False
        )
        with web(address_of_database, tmp_path / "web.log") as address:
            before = requests.get(f"{address}/readyz", timeout=20)
            proxy.lead_to(socket_of(pair.primary_url))
            until(lambda: requests.get(f"{address}/readyz", timeout=20).ok, seconds=LATEST_SECONDS, what="ready")
            with as_admin() as ada:
                created = ada.post(f"{address}/api/admin/flags", json={"key": "begun"}, timeout=20)

    assert (examined.returncode, f"WRONG schema: {STANDBY}" in examined.stdout) == (1, True)
    assert (before.status_code, before.json()["error"], before.json()["message"]) == (
        503,
        "DATABASE_UNAVAILABLE",
        STANDBY,
    )
    assert created.status_code == 201


def test_of_two_hosts_in_the_url_the_one_that_takes_writes_is_used(pair: Pair, tmp_path: Path) -> None:
    hosts = ",".join(str(url.query["host"]) for url in (pair.standby_url, pair.primary_url))
    url = pair.primary_url.set(query={"host": hosts})

    with worker(url, tmp_path / "worker.log") as running, web(url, tmp_path / "web.log") as address, as_admin() as ada:
        created = [ada.post(f"{address}/api/admin/flags", json={"key": f"two-{n}"}, timeout=10) for n in range(20)]
        ready = ada.get(f"{address}/readyz", timeout=10).json()
        until(lambda: ada.get(f"{address}/api/config/flags/two-19", timeout=10).status_code == 200, what="evaluated")
        assert running.stop() == 0

    assert {answer.status_code for answer in created} == {201}
    assert not ready["degraded"]
    assert "cannot record now" not in running.log
    assert "not listening" not in running.log


def test_a_host_s_own_engine_is_told_of_a_standby_and_uses_none_of_its_connections_afterwards(
    pair: Pair, store: SqlStore
) -> None:
    create(store, "of-a-host")
    with through_proxy(pair.primary_url) as (address, proxy):
        engine = sa.create_engine(address)
        host = SqlStore(engine, timeouts=timeouts(Limits()))
        proxy.lead_to(socket_of(pair.standby_url))
        for connection in [engine.connect() for _ in range(4)]:
            connection.close()

        for ask in (lambda: read_flag(named("of-a-host"), store=host), lambda: edit(host)):
            with pytest.raises(DatabaseReadOnly) as refused:
                ask()
            assert refused.value.message == STANDBY
        for connection in [engine.connect() for _ in range(4)]:
            connection.close()
        with pytest.raises(DatabaseReadOnly):
            edit(host)
        proxy.lead_to(socket_of(pair.primary_url))

        assert [edit(host) for _ in range(8)] == [2, 3, 4, 5, 6, 7, 8, 9]
        engine.dispose()


def edit(store: SqlStore) -> int:
    return edit_flag(named("of-a-host"), ON, by=ADMIN, store=store).state.version


@pytest.mark.extra
def test_behind_a_pooler_a_standby_is_told_in_each_transaction_and_forgotten_when_it_leads_to_the_primary_again(
    pair: Pair, tmp_path: Path
) -> None:
    # PgBouncer tells its clients for good what its first connection's server said of itself.
    folder = pair.standby.pgdata.parent / "address"  # As root, PgBouncer runs as the servers do, and may enter there.
    folder.symlink_to(str(pair.standby_url.query["host"]))
    with pgbouncer(pair.primary_url.set(query={"host": str(folder)}), tmp_path / "pgbouncer.log") as url:
        engine = open_engine(url, Limits())
        store = SqlStore(engine)
        told = []
        for leads_to in (pair.standby_url, pair.primary_url, pair.standby_url, pair.primary_url):
            folder.unlink()
            folder.symlink_to(str(leads_to.query["host"]))
            for server in (pair.standby_url, pair.primary_url):
                administer(server, END_THOSE_OF_THE_POOLER)
            told.append(what_is_told(store))
        engine.dispose()

    assert told == [STANDBY, "", STANDBY, ""]


END_THOSE_OF_THE_POOLER = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE application_name = 'flagsched' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


def what_is_told(store: SqlStore) -> str:
    for _ in range(5):  # A connection that was ended is told as such once.
        try:
            store.check()
        except DatabaseReadOnly as error:
            return error.message
        except DatabaseUnavailable:
            Event().wait(0.5)
        else:
            return ""
    raise AssertionError("neither")
