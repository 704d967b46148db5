"""Notifications of changes, and what happens when some may have been missed."""

from datetime import UTC, datetime
from statistics import median
from threading import Event, Thread
from time import monotonic

import sqlalchemy as sa

from flagsched.bootstrap.extension import open_refresher
from flagsched.database.connections.listen import CHANNEL, MISSED, listen
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagEdit
from flagsched.domain.updates import Updates
from flagsched.snapshots.refresher import REFRESH_SECONDS
from flagsched.usecases.flags import edit_flag
from tests.builders import ADMIN, CHECKOUT
from tests.databases import administer
from tests.processes import PATIENCE_SECONDS, until

LISTENING = "FROM pg_stat_activity WHERE query LIKE 'LISTEN%%' AND datname = current_database()"


def is_listening(engine: sa.Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.exec_driver_sql(f"SELECT count(*) {LISTENING}").scalar_one())


def test_a_notified_change_is_published_long_before_the_next_poll(store: SqlStore, engine: sa.Engine) -> None:
    refresher = open_refresher(store, engine)
    refresher.effective("production")
    until(lambda: is_listening(engine), what="it listens")
    took = []

    for _ in range(7):
        began_at = monotonic()
        version = edit_flag(CHECKOUT, FlagEdit(Updates(enabled=True)), by=ADMIN, store=store).state.version
        while refresher.effective("production").flags["new-checkout"].version != version:
            assert monotonic() < began_at + PATIENCE_SECONDS
        took.append(monotonic() - began_at)
    refresher.close()

    assert median(took) < REFRESH_SECONDS / 2


def test_after_a_lost_connection_a_change_may_have_been_missed(postgresql_url: sa.URL, engine: sa.Engine) -> None:
    changes: list[datetime | None] = []
    stopped = Event()
    Thread(target=listen, args=(engine, changes.append, stopped), daemon=True).start()
    until(lambda: changes == [MISSED], what="it listens")

    administer(postgresql_url, f"SELECT pg_terminate_backend(pid) {LISTENING}")
    until(lambda: len(changes) > 1, what="it listens again")
    stopped.set()

    assert changes == [MISSED, MISSED]


NONSENSE = ["''", "repeat('[', 7999)", """'{"wakeAt": "2096-06-01T12:00:00"}'""", """'{"wakeAt": 7}'""", "'[]'"]
PLANNED = datetime(2096, 6, 1, 12, tzinfo=UTC)


def test_changes_that_are_not_ours_do_not_end_the_listener(engine: sa.Engine) -> None:
    changes: list[datetime | None] = []
    stopped = Event()
    Thread(target=listen, args=(engine, changes.append, stopped), daemon=True).start()
    until(lambda: changes == [MISSED], what="it listens")

    with engine.begin() as connection:
        for payload in [*NONSENSE, f"""'{{"wakeAt": "{PLANNED.isoformat()}"}}'"""]:
            connection.exec_driver_sql(f"SELECT pg_notify('{CHANNEL}', {payload})")
    until(lambda: PLANNED in changes, what="notified")
    stopped.set()

    # PostgreSQL may deliver the notifications of one transaction in several parts, each None until the last.
    assert [change for change in changes if change is not None] == [MISSED, PLANNED]
