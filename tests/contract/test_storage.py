"""What is stored: who may read SQLite's files, what a full disk is called, and what grows."""

import os
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from stat import S_IMODE
from typing import Any

import pytest
import sqlalchemy as sa

from flagsched.bootstrap.web import create_app
from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.connections.sqlite import MAX_WAL_BYTES
from flagsched.database.schema import migrations
from flagsched.database.schema.tables import idempotency
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import DatabaseUnavailable, DiskFull
from flagsched.domain.idempotency import KEEP_FOR
from flagsched.ports.doctor import Stored
from flagsched.usecases.doctor import Finding, examine, storage_troubles
from flagsched.usecases.flags import create_flag
from flagsched.usecases.idempotency import forget_responses
from flagsched.worker.drain import FORGET_SECONDS, Drain
from tests.builders import ADMIN, ManualClock, a_new_flag
from tests.processes import a_token
from tests.rows import count
from tests.services import web_settings

MIB = 2**20
NEARLY_FULL = "the disk is nearly full: a migration or a backup needs as much again as the database"
LONG_WAL = "the -wal file has 257.0 MiB: does a reader hold a transaction open?"


def modes(path: Path) -> dict[str, int]:
    return {file.name: S_IMODE(file.stat().st_mode) for file in path.parent.glob(f"{path.name}*")}


@pytest.mark.parametrize("umask", [0, 0o022, 0o277])
def test_the_files_of_sqlite_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "x.db"
    before = os.umask(umask)
    try:
        engine = open_engine(sa.make_url(f"sqlite:///{path}"), Limits())
        migrations.upgrade(engine)
        create_flag(a_new_flag(), by=ADMIN, store=SqlStore(engine))
    finally:
        os.umask(before)

    assert modes(path) == {"x.db": 0o600, "x.db-wal": 0o600, "x.db-shm": 0o600}
    engine.dispose()


@pytest.mark.parametrize(
    ("stored", "troubles"),
    [
        (Stored({}, 0, 100 * MIB, wal_bytes=256 * MIB, free_bytes=256 * MIB), []),
        (Stored({}, 0, 100 * MIB, wal_bytes=0, free_bytes=255 * MIB), [NEARLY_FULL]),
        (Stored({}, 0, 500 * MIB, wal_bytes=0, free_bytes=499 * MIB), [NEARLY_FULL]),
        (Stored({}, 0, 100 * MIB, wal_bytes=257 * MIB, free_bytes=500 * MIB), [LONG_WAL]),
        (Stored({}, 0, 100 * MIB), []),
    ],
)
def test_the_doctor_warns_of_a_disk_that_is_nearly_full_and_of_a_wal_that_grows(
    stored: Stored, troubles: list[str]
) -> None:
    assert storage_troubles(stored) == troubles


def storage(store: SqlStore, clock: ManualClock) -> Finding:
    (finding,) = [finding for finding in examine(store, clock.at) if finding.check == "storage"]
    return finding


def test_the_doctor_tells_how_much_there_is(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)

    found = storage(store, clock)

    assert found.ok, found
    assert "1 entries of history, 0 schedules, 1 flags, 0 archived flags" in found.message
    assert (" free" in found.message) == (engine.dialect.name == "sqlite")


def test_the_doctor_names_files_that_others_may_read(sqlite_url: sa.URL, clock: ManualClock) -> None:
    engine = open_engine(sqlite_url, Limits())
    store = SqlStore(engine)
    Path(str(sqlite_url.database)).chmod(0o644)

    found = storage(store, clock)

    assert not found.ok
    assert f"others may read {sqlite_url.database}: chmod 600 {sqlite_url.database}" in found.examples
    engine.dispose()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "flagsched-test", disk], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path) -> None:
    made = os.open(disk / "filling", os.O_CREAT | os.O_WRONLY)
    try:
        while True:
            os.write(made, b"\0" * 4096)
    except OSError:
        os.close(made)


@pytest.mark.extra  # Needs the right to mount.
def test_a_full_disk_is_called_one_and_reading_goes_on(small_disk: Path) -> None:
    url = sa.make_url(f"sqlite:///{small_disk / 'x.db'}")
    engine = open_engine(url, Limits())
    migrations.upgrade(engine)
    client = create_app(web_settings(url)).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {a_token()}"
    assert client.post("/api/admin/flags", json={"key": "first"}).status_code == 201

    fill(small_disk)
    told = [client.post("/api/admin/flags", json={"key": f"f{n}", "description": "x" * 1000}) for n in range(300)]

    refused = told[-1]
    assert (refused.status_code, refused.json["error"]) == (503, "DISK_FULL")  # type: ignore[index]
    assert "the disk of the database is full" in refused.json["message"]  # type: ignore[index]
    assert int(refused.headers["Retry-After"]) > 0
    assert client.get("/api/admin/flags/first").status_code == 200
    (small_disk / "filling").unlink()
    assert client.post("/api/admin/flags", json={"key": "after"}).status_code == 201
    engine.dispose()


@pytest.mark.extra  # Needs the right to mount.
def test_on_a_full_disk_nothing_can_be_opened_and_that_is_said_too(small_disk: Path) -> None:
    engine = open_engine(sa.make_url(f"sqlite:///{small_disk / 'x.db'}"), Limits())
    migrations.upgrade(engine)
    engine.dispose()
    fill(small_disk)

    with pytest.raises(DiskFull):
        SqlStore(engine).check()


def create_flags(store: SqlStore, number: int) -> None:
    for n in range(number):
        create_flag(a_new_flag(f"f{n}", description="x" * 1000), by=ADMIN, store=store)


def test_a_database_at_its_largest_size_is_called_full(sqlite_url: sa.URL) -> None:
    engine = open_engine(sqlite_url, Limits())
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1"))
    store = SqlStore(engine)

    with pytest.raises(DiskFull) as refused:
        create_flags(store, 200)

    assert isinstance(refused.value, DatabaseUnavailable)
    assert "disk of the database is full" in refused.value.message
    engine.dispose()


def test_a_full_disk_of_postgresql_is_called_one(postgresql_url: sa.URL) -> None:
    engine = open_engine(postgresql_url, Limits())
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION test_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE 'could not extend file \"base/1\"' USING ERRCODE = 'disk_full'; END $$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER test_full BEFORE INSERT ON feature_flags FOR EACH ROW EXECUTE FUNCTION test_full()"
        )

    with pytest.raises(DiskFull, match="disk of the database is full") as refused:
        create_flag(a_new_flag(), by=ADMIN, store=SqlStore(engine))

    assert "could not extend file" in refused.value.cause
    assert "base/1" not in refused.value.message
    engine.dispose()


def test_a_wal_that_a_long_reader_let_grow_is_cut_off_afterwards(sqlite_url: sa.URL) -> None:
    engine = open_engine(sqlite_url, Limits())
    wal = Path(f"{sqlite_url.database}-wal")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE ballast (bytes BLOB)")
    with SqlStore(engine).reading() as reading:
        assert reading.flags.earliest_due(passing_over=()) is None
        write(engine, "INSERT INTO ballast SELECT randomblob(1000000) FROM generate_series(1, 80)")
        grown = wal.stat().st_size

    write(engine, "DELETE FROM ballast")
    write(engine, "INSERT INTO ballast VALUES (1)")

    assert grown > MAX_WAL_BYTES
    assert wal.stat().st_size <= MAX_WAL_BYTES
    engine.dispose()


def write(engine: sa.Engine, statement: str) -> None:
    series = "(WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 80) SELECT n FROM n)"
    with engine.begin() as connection:
        connection.exec_driver_sql(statement.replace("generate_series(1, 80)", series))


def keep(engine: sa.Engine, clock: ManualClock, keys: int) -> None:
    kept = {"principal": "ada", "request_hash": "x", "status": 201, "headers": {}, "body": "{}", "created_at": clock.at}
    with engine.begin() as connection:
        connection.execute(sa.insert(idempotency), [kept | {"key": f"key-{n}"} for n in range(keys)])


def test_answers_are_forgotten_though_nobody_sends_another_request(
    store: SqlStore, clock: ManualClock, engine: sa.Engine
) -> None:
    keep(engine, clock, 3)
    waited: dict[str, Any] = {"seconds": 0.0}
    drain = Drain(store, clock=lambda: waited["seconds"])
    clock.at += KEEP_FOR - timedelta(seconds=1)
    waited["seconds"] = FORGET_SECONDS
    assert drain() == []
    assert count(engine, "feature_flag_idempotency") == 3

    clock.at += timedelta(seconds=1)
    waited["seconds"] = 2 * FORGET_SECONDS
    assert drain() == []

    assert count(engine, "feature_flag_idempotency") == 0


def test_the_doctor_says_that_answers_are_kept_for_too_long(
    store: SqlStore, clock: ManualClock, engine: sa.Engine
) -> None:
    keep(engine, clock, 1001)
    clock.at += KEEP_FOR + timedelta(hours=1, seconds=1)
    assert storage(store, clock).examples == ["1001 answers should be forgotten by now; is a worker running?"]

    assert forget_responses(store) == 1000

    assert storage(store, clock).ok
