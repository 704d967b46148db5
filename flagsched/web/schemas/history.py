"""History entries in responses, and the queries for them."""

from typing import Any

from marshmallow import fields, post_load, validate

from flagsched.domain.flags import FLAG_KEY
from flagsched.domain.history import Action, StoredEntry
from flagsched.domain.instants import rfc3339
from flagsched.ports.history import HistoryQuery
from flagsched.web.schemas.fields import Cursor, Instant, Limit, Name, OneOf, Text, cursor, read_position
from flagsched.web.schemas.flags import KEY_MESSAGE, EnvironmentQuery
from flagsched.web.schemas.strict import View
from flagsched.web.schemas.windows import Window


def entry_cursor(last: StoredEntry) -> str:
    """The cursor of the page that follows this entry."""
    return cursor(rfc3339(last.effective_at), last.id)


class FlagHistoryQuery(EnvironmentQuery):
    """A page of a flag's entries."""

    before = Cursor(read_position, data_key="cursor")
    limit = Limit(default=50, maximum=500)

    @post_load
    def _query(self, data: dict[str, Any], **options: object) -> Any:
        return {"environment": data["environment"], "query": HistoryQuery(**data)}


class HistoryListQuery(FlagHistoryQuery, Window):
    """A page of an environment's entries; `from` and `to` bound `effectiveAt`."""

    flag_key = Name(FLAG_KEY, KEY_MESSAGE, data_key="flagKey")
    actor = Text(max_length=200)
    action = fields.Enum(Action, by_value=True, validate=validate.OneOf(list(Action)), metadata={"type": "string"})

    @post_load
    def _query(self, data: dict[str, Any], **options: object) -> HistoryQuery:
        return HistoryQuery(**data)


STATE = {
    "type": ["object", "null"],
    "description": "what the change concerns, as it was or is; null where there was, or is, none",
    "additionalProperties": True,
}


class EntryView(View):
    """One change: in effect at `effectiveAt`, recorded at `recordedAt`."""

    id = fields.Integer()
    flag_key = fields.String(
        attribute="flag_key",
        data_key="flagKey",
        allow_none=True,
        metadata={"description": "null for what concerns all flags of the environment"},
    )
    environment = fields.String(attribute="name.environment")
    action = OneOf(Action)
    schedule_id = fields.UUID(attribute="schedule_id", data_key="scheduleId", allow_none=True)
    version = fields.Integer(attribute="flag_version", metadata={"description": "the flag's, after it"})
    before = fields.Raw(metadata=STATE)
    after = fields.Raw(metadata=STATE)
    actor = fields.String()
    request_id = fields.String(attribute="request_id", data_key="requestId", allow_none=True)
    effective_at = Instant(attribute="effective_at", data_key="effectiveAt")
    recorded_at = Instant(attribute="recorded_at", data_key="recordedAt")
    undoes = fields.Integer(allow_none=True, metadata={"description": "the number of the entry that it undoes"})


class HistoryView(View):
    """One page of entries, newest first; `nextCursor` is null on the last."""

    entries = fields.List(fields.Nested(EntryView))
    next_cursor = fields.String(data_key="nextCursor", allow_none=True)
