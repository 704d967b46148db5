"""Rows as a parameter: a statement about many rows whose text is the same for one and for a thousand."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

PARAMETER = "rows"


class RowParameters:
    """Rows that a statement reads like a table: one JSON text, an array for each row.

    Values are of the types that JSON has, instants, ids, or JSON documents for a column of a JSON type.
    """

    def __init__(self, types: Mapping[str, sa.types.TypeEngine[Any]]) -> None:
        self.names = tuple(types)
        self._types = dict(types)

    @cache  # noqa: B019 - each lives as long as its module
    def given(self, dialect: str) -> sa.FromClause:
        """The rows as a FROM clause, with their `place` from 0 on."""
        return self._on_sqlite() if dialect == "sqlite" else self._on_postgresql()

    def parameters(self, rows: Iterable[Sequence[Any]]) -> dict[str, str]:
        """What a statement that reads `given` is executed with; each row has its values in the order of `names`."""
        given = orjson.dumps(list(rows), default=_instant, option=orjson.OPT_PASSTHROUGH_DATETIME)
        return {PARAMETER: given.decode()}

    def _on_postgresql(self) -> sa.FromClause:
        rows = sa.cast(sa.bindparam(PARAMETER, type_=sa.Text), JSONB)
        each = sa.func.jsonb_array_elements(rows).table_valued(
            sa.column("value", JSONB), with_ordinality="ordinal", name="each"
        )
        row = each.render_derived()
        values = (_cast(row.c.value[n], type_).label(name) for n, (name, type_) in enumerate(self._types.items()))
        # PostgreSQL counts from 1.
        return sa.select(*values, (row.c.ordinal - 1).label("place")).subquery("given")

    def _on_sqlite(self) -> sa.FromClause:
        each = sa.func.json_each(sa.bindparam(PARAMETER, type_=sa.Text)).table_valued(
            sa.column("key", sa.Integer), sa.column("value", sa.Text), name="each"
        )
        values = (_stored(each.c.value, n, type_).label(name) for n, (name, type_) in enumerate(self._types.items()))
        return sa.select(*values, each.c.key.label("place")).subquery("given")


def _cast(value: Any, type_: sa.types.TypeEngine[Any]) -> sa.ColumnElement[Any]:
    """A value of a JSON array as PostgreSQL's type: JSON's null is NULL."""
    if isinstance(type_, sa.JSON):
        return sa.func.nullif(value, sa.cast(sa.literal_column("'null'"), JSONB))
    text = value.astext
    return sa.cast(text + "+00" if _is_instant(type_) else text, type_)


def _stored(row: sa.ColumnElement[str], n: int, type_: sa.types.TypeEngine[Any]) -> sa.ColumnElement[Any]:
    """A value of a JSON array as SQLite stores it: ids have no hyphens."""
    value = sa.func.json_extract(row, f"$[{n}]")
    return sa.type_coerce(sa.func.replace(value, "-", "") if isinstance(type_, sa.Uuid) else value, type_)


def _is_instant(type_: sa.types.TypeEngine[Any]) -> bool:
    return isinstance(type_, sa.DateTime) or isinstance(getattr(type_, "impl", None), sa.DateTime)


@lru_cache(maxsize=1024)  # Rows that are written at once share most of their instants.
def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(" ", "microseconds").removesuffix("+00:00")
