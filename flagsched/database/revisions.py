"""Revisions of environments, raised and told to whoever listens in one statement."""

from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from flagsched.database.connections.engine import insert_for
from flagsched.database.connections.listen import CHANNEL
from flagsched.database.schema.tables import environments
from flagsched.domain.instants import rfc3339


def raise_revision(connection: sa.Connection, environment: str, wake_at: datetime | None, at_least: int) -> int:
    """Raise an environment's revision, to `at_least` or more, and give it; listeners are told of it at commit."""
    given = {"environment_": environment, "at_least_": at_least, "wake_at_": wake_at and rfc3339(wake_at)}
    revision: int = connection.execute(_raised(connection.dialect.name), given).one()[0]
    return revision


@cache
def _raised(dialect: str) -> sa.Insert | sa.Select[Any]:
    at_least = sa.bindparam("at_least_", type_=sa.BigInteger)
    one_more = environments.c.revision + 1
    raised = (
        insert_for(dialect, environments)
        .values(name=sa.bindparam("environment_"), revision=at_least)
        .on_conflict_do_update(
            index_elements=["name"], set_={"revision": sa.case((one_more < at_least, at_least), else_=one_more)}
        )
        .returning(environments.c.revision, environments.c.name)
    )
    return _told(raised.cte("raised")) if dialect == "postgresql" else raised


def _told(raised: sa.CTE) -> sa.Select[Any]:
    wake_at = sa.bindparam("wake_at_", type_=sa.Text)
    notice = sa.func.json_build_object("environment", raised.c.name, "revision", raised.c.revision, "wakeAt", wake_at)
    return sa.select(raised.c.revision, sa.func.pg_notify(CHANNEL, sa.cast(notice, sa.Text)))
