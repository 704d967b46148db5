"""Rows as parameters: a statement about many rows whose text is the same for one and for a thousand."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

Types = Mapping[str, sa.types.TypeEngine[Any]]
Columns = Mapping[str, Sequence[Any]]


def rowset(dialect: str, types: Types, columns: Columns) -> sa.FromClause:
    """Columns of equal length as a FROM clause: one array for each on PostgreSQL, one JSON text on SQLite.

    Values are of the types that JSON has, instants, ids, or nested JSON for a column of a JSON type.
    """
    return _sqlite_rows(types, columns) if dialect == "sqlite" else _postgresql_rows(types, columns)


def columns_of(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """The columns of rows that all have the same names."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def _postgresql_rows(types: Types, columns: Columns) -> sa.FromClause:
    arrays = (sa.cast(sa.literal(_array(columns[name]), sa.Text), ARRAY(type_)) for name, type_ in types.items())
    typed = (sa.column(name, type_) for name, type_ in types.items())
    return sa.func.unnest(*arrays).table_valued(*typed, name="given").render_derived()


def _array(values: Sequence[Any]) -> str:
    """An array as PostgreSQL reads it. Source: its manual, section 8.15.2."""
    return "{" + ",".join([AS_ELEMENT[type(value)](value) for value in values]) + "}"


@lru_cache(maxsize=4096)
def _quoted(text: str) -> str:
    # Most columns say one of a few things.
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


AS_ELEMENT: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "NULL",
    bool: lambda value: "t" if value else "f",
    int: str,
    str: _quoted,
    datetime: datetime.isoformat,
    UUID: lambda value: value.hex,
    dict: lambda value: _quoted(orjson.dumps(value).decode()),
}


def _sqlite_rows(types: Types, columns: Columns) -> sa.FromClause:
    rows = list(zip(*(_storable(columns[name], type_) for name, type_ in types.items()), strict=True))
    text = orjson.dumps(rows, default=_instant, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()
    each = sa.func.json_each(sa.literal(text, sa.Text)).table_valued("value", name="each")
    values = (
        sa.type_coerce(sa.func.json_extract(each.c.value, f"$[{place}]"), type_).label(name)
        for place, (name, type_) in enumerate(types.items())
    )
    return sa.select(*values).subquery("given")


def _storable(values: Sequence[Any], type_: sa.types.TypeEngine[Any]) -> Sequence[Any]:
    return [value and value.hex for value in values] if isinstance(type_, sa.Uuid) else values


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(" ", "microseconds").removesuffix("+00:00")
