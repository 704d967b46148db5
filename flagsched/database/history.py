"""History in the database, which refuses to change or delete any of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from flagsched.database.rowset import rowset
from flagsched.database.tables import history
from flagsched.domain.history import Entry

WRITTEN = tuple(column.name for column in history.c if column.name != "id")
TYPES = {"place": sa.Integer()} | {name: history.c[name].type for name in WRITTEN}


@dataclass(frozen=True, slots=True)
class History:
    """Implements `ports.HistoryWriter`."""

    connection: sa.Connection

    def append(self, entries: Sequence[Entry]) -> None:
        """See `ports.HistoryWriter`."""
        if not entries:
            return
        rows = [_row(entry) | {"place": place} for place, entry in enumerate(entries)]
        given = rowset(self.connection.dialect.name, TYPES, rows)
        # In their order, since the id is what orders a history.
        chosen = sa.select(*(given.c[name] for name in WRITTEN)).order_by(given.c.place)
        self.connection.execute(sa.insert(history).from_select(list(WRITTEN), chosen))


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "flag_id": entry.flag_id,
        "flag_key": entry.name.key,
        "environment": entry.name.environment,
        "action": entry.action.value,
        "schedule_id": entry.schedule_id,
        "flag_version": entry.flag_version,
        "before": entry.before,
        "after": entry.after,
        "actor": entry.actor,
        "request_id": entry.request_id,
        "effective_at": entry.effective_at,
        "recorded_at": entry.recorded_at,
    }
