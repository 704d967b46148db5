"""What stands in the database, asked of the tables themselves."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from flagsched.database.schema.tables import flags, history, metadata, schedules


def count(engine: sa.Engine, table: str) -> int:
    with engine.connect() as connection:
        number: int = connection.execute(sa.select(sa.func.count()).select_from(sa.table(table))).scalar_one()
        return number


def everything(engine: sa.Engine) -> dict[str, list[str]]:
    """All rows of all tables."""
    with engine.connect() as connection:
        tables = metadata.sorted_tables
        return {one.name: sorted(map(repr, connection.execute(sa.select(one)))) for one in tables}


def counts(engine: sa.Engine, tables: Sequence[str]) -> list[int]:
    """How many rows each of these tables has, by one query."""
    numbers = (sa.select(sa.func.count()).select_from(sa.table(table)).scalar_subquery() for table in tables)
    with engine.connect() as connection:
        return list(connection.execute(sa.select(*numbers)).one())


def all_schedules(engine: sa.Engine) -> list[sa.Row[Any]]:
    """All schedules in order."""
    with engine.connect() as connection:
        return list(connection.execute(sa.select(schedules).order_by(schedules.c.scheduled_at, schedules.c.seq)))


def all_history(engine: sa.Engine) -> list[sa.Row[Any]]:
    """All entries as they were written."""
    with engine.connect() as connection:
        return list(connection.execute(sa.select(history).order_by(history.c.id)))


def the_flag(engine: sa.Engine) -> sa.Row[Any]:
    """The only flag."""
    with engine.connect() as connection:
        return connection.execute(sa.select(flags)).one()
