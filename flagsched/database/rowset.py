"""Rows as one parameter: a statement about many rows whose text is the same for one and for a thousand."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

Columns = Mapping[str, sa.types.TypeEngine[Any]]


def rowset(dialect: str, columns: Columns, rows: Sequence[Mapping[str, Any]]) -> sa.FromClause:
    """`rows` as a FROM clause with these columns, passed to the database as one JSON text.

    Values are of the types that JSON has, instants, ids, or nested JSON for a column of a JSON type.
    """
    encode = _for_sqlite if dialect == "sqlite" else _for_postgresql
    text = sa.literal(json.dumps(rows, default=encode, separators=(",", ":")), sa.Text)
    return _sqlite_rows(columns, text) if dialect == "sqlite" else _postgresql_rows(columns, text)


def _postgresql_rows(columns: Columns, text: sa.ColumnElement[str]) -> sa.FromClause:
    typed = [sa.column(name, type_) for name, type_ in columns.items()]
    rows = sa.func.jsonb_to_recordset(sa.cast(text, JSONB)).table_valued(*typed, name="given")
    return rows.render_derived(with_types=True)


def _sqlite_rows(columns: Columns, text: sa.ColumnElement[str]) -> sa.FromClause:
    each = sa.func.json_each(text).table_valued("value", name="each")
    values = (
        sa.type_coerce(sa.func.json_extract(each.c.value, f"$.{name}"), type_).label(name)
        for name, type_ in columns.items()
    )
    return sa.select(*values).subquery("given")


def _for_postgresql(value: object) -> str:
    match value:
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
    raise TypeError(f"no JSON for {value!r}")


def _for_sqlite(value: object) -> str:
    match value:
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        case UUID():
            return value.hex
    raise TypeError(f"no JSON for {value!r}")
