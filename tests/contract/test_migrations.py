"""The schema goes up, down and up again, is what the code expects, and keeps the rules that a database can keep."""

import os
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from flagsched.bootstrap.web import create_app
from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.schema import migrations
from flagsched.database.schema.revision import SCHEMA_REVISION, VERSION_TABLE
from flagsched.database.schema.tables import metadata
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import SchemaOutdated
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.flags import archive_flag, create_flag
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_new_flag
from tests.contract.records import a_planned_flag, drain
from tests.services import web_settings


def tables(engine: sa.Engine) -> set[str]:
    return set(sa.inspect(engine).get_table_names())


def test_the_schema_goes_up_down_and_up_again(engine: sa.Engine) -> None:
    migrations.check(engine)

    migrations.downgrade(engine, "base")
    assert tables(engine) == {VERSION_TABLE}

    migrations.upgrade(engine)
    assert tables(engine) == {VERSION_TABLE, *metadata.tables}
    migrations.check(engine)


def test_flask_db_does_the_same(url: sa.URL, engine: sa.Engine) -> None:
    commands = create_app(web_settings(url)).test_cli_runner()

    def flask_db(*command: str) -> set[str]:
        done = commands.invoke(args=["db", *command])
        assert done.exit_code == 0, done.output
        return tables(engine)

    flask_db("check")
    assert flask_db("downgrade", "base") == {VERSION_TABLE}
    assert flask_db("upgrade") == {VERSION_TABLE, *metadata.tables}
    flask_db("check")


def test_flask_db_upgrade_makes_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "new.db"
    previous = os.umask(0)
    try:
        commands = create_app(web_settings(sa.make_url(f"sqlite:///{file}"))).test_cli_runner()
        done = commands.invoke(args=["db", "upgrade"])
    finally:
        os.umask(previous)

    assert done.exit_code == 0, done.output
    assert file.stat().st_mode & 0o777 == 0o600


def test_this_release_was_made_for_the_newest_revision() -> None:
    assert ScriptDirectory(str(migrations.migrations_folder())).get_current_head() == SCHEMA_REVISION


def test_every_constraint_has_a_name(engine: sa.Engine) -> None:
    inspector = sa.inspect(engine)

    for table in metadata.tables:
        names = [
            inspector.get_pk_constraint(table)["name"],
            *(c["name"] for c in inspector.get_unique_constraints(table)),
            *(c["name"] for c in inspector.get_check_constraints(table)),
            *(c["name"] for c in inspector.get_foreign_keys(table)),
        ]
        assert all(name and table in name for name in names), (table, names)


def test_the_database_has_the_checks_that_the_code_declares(engine: sa.Engine) -> None:
    inspector = sa.inspect(engine)

    for name, table in metadata.tables.items():
        declared = {c.name for c in table.constraints if isinstance(c, sa.CheckConstraint)}
        assert {c["name"] for c in inspector.get_check_constraints(name)} == declared


def test_pending_schedules_have_a_partial_index(engine: sa.Engine) -> None:
    on = engine.dialect.name
    indexes = {index["name"]: index for index in sa.inspect(engine).get_indexes("feature_flag_schedules")}

    condition = str(indexes["ix_feature_flag_schedules_pending"]["dialect_options"][f"{on}_where"])

    assert "status" in condition
    assert "'pending'" in condition


@pytest.fixture
def with_history(engine: sa.Engine) -> Iterator[sa.Connection]:
    create_flag(a_new_flag(), by=ADMIN, store=SqlStore(engine))
    with engine.connect() as connection:
        yield connection


@pytest.mark.parametrize(
    "statement", ["UPDATE feature_flag_history SET actor = 'eve'", "DELETE FROM feature_flag_history"]
)
def test_the_history_refuses_to_be_changed(with_history: sa.Connection, statement: str) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        with_history.exec_driver_sql(statement)


def test_the_history_refuses_to_be_replaced(sqlite_url: sa.URL) -> None:
    engine = open_engine(sqlite_url, Limits())
    create_flag(a_new_flag(), by=ADMIN, store=SqlStore(engine))

    replacing = "REPLACE INTO feature_flag_history SELECT * FROM feature_flag_history"
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="append-only"):
        connection.exec_driver_sql(replacing)
    engine.dispose()


def test_the_history_refuses_to_be_truncated(postgresql_url: sa.URL) -> None:
    with (
        open_engine(postgresql_url, Limits()).connect() as connection,
        pytest.raises(sa.exc.DBAPIError, match="append-only"),
    ):
        connection.exec_driver_sql("TRUNCATE feature_flag_history")


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE feature_flags SET rollout_percentage = 101", "rollout_percentage"),
        ("UPDATE feature_flags SET version = 0", "version"),
        ("UPDATE feature_flags SET archived_at = created_at, next_due_at = created_at", "archived_plans_nothing"),
        ("UPDATE feature_flags SET enabled = NULL", "enabled"),
    ],
)
def test_the_database_refuses_what_no_flag_can_be(with_history: sa.Connection, statement: str, constraint: str) -> None:
    with pytest.raises(sa.exc.IntegrityError, match=constraint):
        with_history.exec_driver_sql(statement)


NOT_ENDED = {"flag_version": None, "applied_at": None, "status": "pending"}


@pytest.mark.parametrize(
    ("table", "but_for", "refused"),
    [
        pytest.param("feature_flags", {"id": uuid4()}, "environment.*key", id="name"),
        pytest.param("feature_flag_schedules", {"id": uuid4(), **NOT_ENDED}, "flag_id.*seq", id="number"),
        pytest.param("feature_flag_schedules", {"id": uuid4(), "seq": 2}, "flag_id.*flag_version", id="version"),
        pytest.param("feature_flag_history", {}, "applied_schedule|append-only", id="application"),
    ],
)
def test_the_database_refuses_what_can_be_only_once(
    store: SqlStore, clock: ManualClock, backoff: Backoff, engine: sa.Engine, table: str, but_for: Any, refused: str
) -> None:
    a_planned_flag(store, "new-checkout", 10)
    clock.advance(seconds=10)
    drain(store, backoff)

    columns = metadata.tables[table].c
    again = {column.name: column for column in columns if column.name != "id"}
    again |= {name: sa.literal(value, columns[name].type) for name, value in but_for.items()}
    repeating = sa.insert(metadata.tables[table]).from_select(list(again), sa.select(*again.values()))
    with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError) as error:
        connection.execute(repeating)

    assert re.search(refused, str(error.value.orig))


def test_a_schedule_needs_its_flag(engine: sa.Engine) -> None:
    row = {
        "id": uuid4(), "flag_id": uuid4(), "seq": 1, "scheduled_at": sa.func.now(), "updates": sa.text("'{}'"),
        "status": "pending", "created_by": "ada", "created_at": sa.func.now(), "updated_at": sa.func.now(),
    }  # fmt: skip

    with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError, match=r"(?i)foreign.key"):
        connection.execute(sa.insert(metadata.tables["feature_flag_schedules"]).values(row))


def test_a_key_is_free_again_once_its_flag_is_archived(store: SqlStore, engine: sa.Engine) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    archive_flag(CHECKOUT, by=ADMIN, store=store)

    create_flag(a_new_flag(), by=ADMIN, store=store)

    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM feature_flags").scalar_one() == 2


@pytest.mark.parametrize(("revision", "fits"), [("0005", False), ("0006", True), ("0007", True)])
def test_a_later_schema_fits_and_an_earlier_one_does_not(
    store: SqlStore, engine: sa.Engine, revision: str, fits: bool
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'")

    with nullcontext() if fits else pytest.raises(SchemaOutdated, match=revision):
        store.check()


def test_a_database_without_a_schema_is_refused_with_what_to_do(store: SqlStore, engine: sa.Engine) -> None:
    store.check()
    migrations.downgrade(engine, "base")

    with pytest.raises(SchemaOutdated, match="flagsched db upgrade"):
        store.check()
