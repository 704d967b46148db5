"""Revisions of environments, raised and sent to listeners in one statement."""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from flagsched.database.connections.engine import insert_for
from flagsched.database.connections.listen import CHANNEL
from flagsched.database.row_parameters import RowParameters
from flagsched.database.schema.tables import environments
from flagsched.domain.instants import rfc3339

ENVIRONMENT_ROWS = RowParameters({"name": environments.c.name.type, "wake_at": sa.Text()})


def raise_revisions(
    connection: sa.Connection, wake_at: Mapping[str, datetime | None], at_least: int
) -> Mapping[str, int]:
    """Raise the revisions of these environments, to `at_least` or more, return them, and notify listeners at commit."""
    names = sorted(wake_at)  # Locked in this order, so that no two writers wait for each other.
    instants = [at and rfc3339(at) for at in map(wake_at.get, names)]
    given = ENVIRONMENT_ROWS.parameters(zip(names, instants, strict=True)) | {"at_least_": at_least}
    return {row.name: row.revision for row in connection.execute(_raised(connection.dialect.name), given)}


@cache
def _raised(dialect: str) -> sa.Insert | sa.Select[Any]:
    rows = ENVIRONMENT_ROWS.given(dialect)
    at_least = sa.bindparam("at_least_", type_=sa.BigInteger)
    one_more = environments.c.revision + 1
    # SQLite reads ON as a join's, unless there is a WHERE before it.
    new = sa.select(rows.c.name, at_least).where(rows.c.place >= 0).order_by(rows.c.place)
    raised = (
        insert_for(dialect, environments)
        .from_select(["name", "revision"], new)
        .on_conflict_do_update(
            index_elements=["name"], set_={"revision": sa.case((one_more < at_least, at_least), else_=one_more)}
        )
        .returning(environments.c.revision, environments.c.name)
    )
    return _notified(raised.cte("raised"), rows) if dialect == "postgresql" else raised


def _notified(raised: sa.CTE, rows: sa.FromClause) -> sa.Select[Any]:
    fields = ("environment", raised.c.name, "revision", raised.c.revision, "wakeAt", rows.c.wake_at)
    notify = sa.func.pg_notify(CHANNEL, sa.cast(sa.func.json_build_object(*fields), sa.Text))
    return sa.select(raised.c.revision, raised.c.name, notify).join_from(raised, rows, rows.c.name == raised.c.name)
