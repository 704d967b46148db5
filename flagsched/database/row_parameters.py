"""Rows as parameters: a statement about many rows whose text is the same for one and for a thousand."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

Columns = Mapping[str, Sequence[Any]]
PREFIX = "given_"


class RowParameters:
    """Columns of equal length that a statement reads like a table: arrays on PostgreSQL, one JSON text on SQLite.

    Values are of the types that JSON has, instants, ids, or JSON, as text or not, for a column of a JSON type.
    """

    def __init__(self, types: Mapping[str, sa.types.TypeEngine[Any]]) -> None:
        self._types = dict(types)
        self.names = tuple(types)
        self._ids = {name for name, type_ in types.items() if isinstance(type_, sa.Uuid)}

    @cache  # noqa: B019 - each lives as long as its module
    def given(self, dialect: str) -> sa.FromClause:
        """The rows as a FROM clause, with their `place` from 0 on."""
        return self._from_json() if dialect == "sqlite" else self._from_arrays()

    def parameters(self, dialect: str, columns: Columns) -> dict[str, str]:
        """What a statement that reads `given` is executed with."""
        if dialect == "sqlite":
            return {PREFIX + "rows": self._json(columns)}
        return {PREFIX + name: _array(columns[name]) for name in self._types}

    def _from_arrays(self) -> sa.FromClause:
        texts = {name: sa.bindparam(PREFIX + name, type_=sa.Text) for name in self._types}
        arrays = (sa.cast(text, ARRAY(self._types[name])) for name, text in texts.items())
        typed = (sa.column(name, type_) for name, type_ in self._types.items())
        rows = sa.func.unnest(*arrays).table_valued(*typed, with_ordinality="ordinal", name="arrays").render_derived()
        # PostgreSQL counts from 1.
        place = (rows.c.ordinal - 1).label("place")
        return sa.select(*(rows.c[name] for name in self._types), place).subquery("given")

    def _from_json(self) -> sa.FromClause:
        text = sa.bindparam(PREFIX + "rows", type_=sa.Text)
        each = sa.func.json_each(text).table_valued(
            sa.column("key", sa.Integer), sa.column("value", sa.Text), name="each"
        )
        values = (
            sa.type_coerce(sa.func.json_extract(each.c.value, f"$[{number}]"), type_).label(name)
            for number, (name, type_) in enumerate(self._types.items())
        )
        return sa.select(*values, each.c.key.label("place")).subquery("given")

    def _json(self, columns: Columns) -> str:
        storable = (_hexes(columns[name]) if name in self._ids else columns[name] for name in self._types)
        rows = list(zip(*storable, strict=True))
        return orjson.dumps(rows, default=_instant, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()


def columns_of(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """The columns of rows that all have the same names."""
    return {name: [row[name] for row in rows] for name in rows[0]}


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


def _hexes(values: Sequence[UUID | None]) -> list[str | None]:
    return [None if value is None else value.hex for value in values]


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(" ", "microseconds").removesuffix("+00:00")
