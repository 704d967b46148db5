"""Rows as parameters: a statement about many rows whose text is the same for one and for a thousand."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

Columns = Mapping[str, sa.types.TypeEngine[Any]]


def rowset(dialect: str, columns: Columns, rows: Sequence[Mapping[str, Any]]) -> sa.FromClause:
    """`rows` as a FROM clause with these columns: one array for each on PostgreSQL, one JSON text on SQLite.

    Values are of the types that JSON has, instants, ids, or nested JSON for a column of a JSON type.
    """
    return _sqlite_rows(columns, rows) if dialect == "sqlite" else _postgresql_rows(columns, rows)


def _postgresql_rows(columns: Columns, rows: Sequence[Mapping[str, Any]]) -> sa.FromClause:
    arrays = (
        sa.cast(sa.literal(_array([row[name] for row in rows]), sa.Text), ARRAY(type_))
        for name, type_ in columns.items()
    )
    typed = (sa.column(name, type_) for name, type_ in columns.items())
    return sa.func.unnest(*arrays).table_valued(*typed, name="given").render_derived()


def _array(values: Sequence[Any]) -> str:
    """An array as PostgreSQL reads it. Source: its manual, section 8.15.2."""
    return "{" + ",".join([AS_ELEMENT[type(value)](value) for value in values]) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


AS_ELEMENT: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "NULL",
    bool: lambda value: "t" if value else "f",
    int: str,
    str: _quoted,
    datetime: datetime.isoformat,
    UUID: lambda value: value.hex,
    dict: lambda value: _quoted(json.dumps(value)),
}


def _sqlite_rows(columns: Columns, rows: Sequence[Mapping[str, Any]]) -> sa.FromClause:
    text = sa.literal(json.dumps(rows, default=_for_sqlite, separators=(",", ":")), sa.Text)
    each = sa.func.json_each(text).table_valued("value", name="each")
    values = (
        sa.type_coerce(sa.func.json_extract(each.c.value, f"$.{name}"), type_).label(name)
        for name, type_ in columns.items()
    )
    return sa.select(*values).subquery("given")


def _for_sqlite(value: object) -> str:
    match value:
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        case UUID():
            return value.hex
    raise TypeError(f"no JSON for {value!r}")
