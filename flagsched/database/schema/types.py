"""Column types: instants, JSON, and what a schedule sets, which may be unreadable."""

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from flagsched.domain.updates import Change, UnreadableUpdates, read_updates

Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class UTCDateTime(sa.types.TypeDecorator[datetime]):
    """An aware instant. SQLite stores no time zones, so instants are stored in UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse a naive value."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"an instant needs a time zone: {value.isoformat()}")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return an aware value in UTC."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return value.replace(tzinfo=UTC)
        return value if value.tzinfo is UTC else value.astimezone(UTC)


class StoredUpdates(sa.types.TypeDecorator[Change | UnreadableUpdates]):
    """What a schedule sets: jsonb or text, but always read as text, so that no row makes a query fail."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Choose the column's type."""
        return dialect.type_descriptor(JSONB() if dialect.name == "postgresql" else sa.Text())

    def column_expression(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Select the text."""
        return sa.type_coerce(sa.cast(column, sa.Text), self)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Change | UnreadableUpdates:
        """Parse the text, which may be unreadable."""
        del dialect
        return _read(value)


@lru_cache(maxsize=1024)
def _read(text: Any) -> Change | UnreadableUpdates:
    # Most schedules have one of a few updates.
    try:
        return read_updates(json.loads(text))
    except (TypeError, ValueError, RecursionError) as error:
        return UnreadableUpdates(f"updates are not JSON: {error}"[:500])
