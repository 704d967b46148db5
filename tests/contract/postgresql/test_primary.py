"""A connection that takes no writes is reported as such, and neither it nor any as old is used again."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine, timeouts
from flagsched.database.connections.pooler import is_pooled
from flagsched.database.connections.primary import READ_ONLY, each_host
from flagsched.database.connections.url import database_url
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import DatabaseReadOnly, DatabaseUnavailable
from flagsched.domain.flags import FlagEdit
from flagsched.domain.updates import Updates
from flagsched.usecases.doctor import examine
from flagsched.usecases.flags import edit_flag, read_flag
from tests.builders import ADMIN, CHECKOUT
from tests.databases import administer
from tests.faults.proxy import through_proxy
from tests.poolers import POOLED_TOO

ON = FlagEdit(Updates(enabled=True))
PID = "SELECT pg_backend_pid()"
ReadOnly = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def read_only(postgresql: sa.URL, postgresql_url: sa.URL, engine: sa.Engine) -> ReadOnly:
    """For the length of a block, new sessions of the database are read-only unless they say otherwise."""
    alter = f"ALTER DATABASE {postgresql_url.database}"

    @contextmanager
    def block() -> Iterator[None]:
        administer(postgresql, f"{alter} SET default_transaction_read_only = on")
        try:
            engine.dispose()
            yield
        finally:
            administer(postgresql, f"{alter} RESET default_transaction_read_only")

    return block


def pooled_pids(engine: sa.Engine, number: int) -> set[int]:
    """Put so many connections into the pool; returns the ids of their server processes."""
    connections = [engine.connect() for _ in range(number)]
    pids = {connection.exec_driver_sql(PID).scalar_one() for connection in connections}
    for connection in connections:
        connection.close()
    return pids


def write_where_the_server_refuses_it(store: SqlStore) -> None:
    with store.writing() as work:
        work.connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        work.flags.lock([CHECKOUT])


@POOLED_TOO
def test_a_write_that_is_refused_as_read_only_means_that_the_database_is_unavailable(store: SqlStore) -> None:
    with pytest.raises(DatabaseReadOnly, match="a standby, or read-only") as refused:
        write_where_the_server_refuses_it(store)

    assert (refused.value.code, refused.value.retry_after) == ("DATABASE_UNAVAILABLE", 2)
    assert "read-only transaction" in refused.value.cause
    assert edit_flag(CHECKOUT, ON, by=ADMIN, store=store).state.enabled


def test_no_connection_as_old_as_one_that_took_no_writes_is_used_again(store: SqlStore, engine: sa.Engine) -> None:
    before = pooled_pids(engine, 4)

    with pytest.raises(DatabaseReadOnly):
        write_where_the_server_refuses_it(store)

    assert pooled_pids(engine, 4) & before == set()


def test_a_pooled_connection_that_has_become_read_only_is_not_used(store: SqlStore, engine: sa.Engine) -> None:
    before = pooled_pids(engine, 1)
    with engine.connect() as connection:
        connection.exec_driver_sql("SET default_transaction_read_only = on")
        connection.commit()

    assert edit_flag(CHECKOUT, ON, by=ADMIN, store=store).state.enabled
    assert pooled_pids(engine, 1) & before == set()


def test_a_database_that_is_read_only_by_default_is_reported_as_such(store: SqlStore, read_only: ReadOnly) -> None:
    with read_only():
        for use in (store.check, lambda: read_flag(CHECKOUT, store=store)):
            with pytest.raises(DatabaseReadOnly, match="default_transaction_read_only is on"):
                use()
        findings = examine(store, datetime.now(UTC))

    assert [(finding.check, finding.ok, finding.message) for finding in findings] == [("schema", False, READ_ONLY)]
    assert edit_flag(CHECKOUT, ON, by=ADMIN, store=store).state.enabled


@pytest.mark.parametrize("writes", [True, False], ids=["writes", "reads"])
@pytest.mark.usefixtures("store")
def test_a_host_s_own_engine_is_not_pinned_to_what_takes_no_writes(
    postgresql_url: sa.URL, read_only: ReadOnly, writes: bool
) -> None:
    host_engine = sa.create_engine(postgresql_url)
    host = SqlStore(host_engine, timeouts=timeouts(Limits()))
    with read_only():
        old = pooled_pids(host_engine, 4)
        with pytest.raises(DatabaseReadOnly, match="default_transaction_read_only is on"):
            _use(host, writes=writes)

    _use(host, writes=writes)

    assert pooled_pids(host_engine, 4) & old == set()
    assert list(host_engine.dialect.dispatch.handle_error) == []
    host_engine.dispose()


def _use(store: SqlStore, *, writes: bool) -> None:
    if writes:
        edit_flag(CHECKOUT, ON, by=ADMIN, store=store)
    else:
        read_flag(CHECKOUT, store=store)


@POOLED_TOO
@pytest.mark.parametrize("kind", ["reading", "writing"])
def test_a_transaction_on_a_pooled_connection_costs_no_round_trip_more(postgresql_url: sa.URL, kind: str) -> None:
    with through_proxy(postgresql_url) as (url, proxy):
        engine = open_engine(url, Limits())
        store = SqlStore(engine)
        for _ in range(2):  # The first opens a connection.
            before = proxy.asked
            with getattr(store, kind)() as work:
                work.connection.exec_driver_sql("SELECT 1")
            asked = proxy.asked - before
        statements = 2 if kind == "reading" else 1  # A read asks for the time first.
        pooled = is_pooled(engine)
        engine.dispose()

    assert asked == 2 + statements + pooled


def test_whether_a_server_takes_writes_costs_one_round_trip_of_a_new_connection(postgresql_url: sa.URL) -> None:
    with through_proxy(postgresql_url) as (url, proxy):
        asked = []
        for engine in (sa.create_engine(url), open_engine(url, Limits())):
            for _ in range(2):  # With the first, SQLAlchemy gets to know the server.
                engine.dispose()
                before = proxy.asked
                with engine.connect() as connection:
                    connection.exec_driver_sql("SELECT 1")
            asked.append(proxy.asked - before)
            engine.dispose()

    assert asked[1] - asked[0] == 1


@pytest.mark.usefixtures("store")
def test_of_several_hosts_one_that_is_away_is_passed_over(postgresql_url: sa.URL) -> None:
    socket = str(postgresql_url.query["host"])
    engine = open_engine(postgresql_url.set(query={"host": ("/nowhere", socket)}), Limits())

    assert not read_flag(CHECKOUT, store=SqlStore(engine)).state.enabled
    engine.dispose()


def test_of_several_hosts_that_are_all_away_each_is_named_in_the_log(postgresql_url: sa.URL) -> None:
    engine = open_engine(postgresql_url.set(query={"host": "/nowhere,/elsewhere"}), Limits())

    with pytest.raises(DatabaseUnavailable) as refused:
        SqlStore(engine).check()

    assert refused.value.message == "the database does not answer"
    assert "/nowhere" in refused.value.cause
    assert "/elsewhere" in refused.value.cause


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://u@a,b/d", [{"host": "a", "port": ""}, {"host": "b", "port": ""}]),
        ("postgresql://u@a:1,b:2/d", [{"host": "a", "port": "1"}, {"host": "b", "port": "2"}]),
        ("postgresql://u@a,b/d?port=3,4", [{"host": "a", "port": "3"}, {"host": "b", "port": "4"}]),
        ("postgresql://u@a,a/d?load_balance_hosts=random", [{"host": "a", "port": ""}, {"host": "a", "port": ""}]),
        ("postgresql://u@a:4/d", [{"host": "a", "port": "4"}]),
        ("postgresql://u@/d", [{}]),
        ("postgresql://u@a,b/d?hostaddr=1.2.3.4", [{"host": "a,b", "hostaddr": "1.2.3.4", "port": ","}]),
    ],
)
def test_each_host_of_a_url_is_tried_with_its_port(url: str, hosts: list[dict[str, str]]) -> None:
    parsed = database_url(url)
    _, arguments = parsed.get_dialect()().create_connect_args(parsed)

    assert [_without_names(one) for one in each_host(arguments)] == hosts


def _without_names(arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in {"user", "dbname", "load_balance_hosts"}}
