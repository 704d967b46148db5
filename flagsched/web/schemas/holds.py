"""Holds in requests and responses."""

from datetime import datetime
from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields, post_load, validates_schema

from flagsched.domain.flags import DEFAULT_ENVIRONMENT, FLAG_KEY, FlagName
from flagsched.domain.holds import AtEnd, HoldEdit, HoldStatus, NewHold, Release
from flagsched.domain.overrides import MAX_REASON
from flagsched.ports.holds import HoldQuery
from flagsched.web.schemas.fields import (
    ERROR_MESSAGES,
    Boolean,
    Choice,
    Cursor,
    Instant,
    Limit,
    Name,
    OneOf,
    Text,
    environment,
    read_id,
)
from flagsched.web.schemas.flags import KEY_MESSAGE
from flagsched.web.schemas.instants import read_instant
from flagsched.web.schemas.schedules import UpdatesBody
from flagsched.web.schemas.strict import Body, Query, View

THEN = "what becomes, at the hold's end, of what was planned for its time: it catches up, in order, or is skipped"


class HoldRequest(Body):
    """A hold: from now on, unless `from` is given; until it is released, unless `until` is given."""

    reason = Text(max_length=MAX_REASON, blank=False, required=True)
    starts_at = Instant(data_key="from")
    ends_at = Instant(data_key="until")
    at_end = Choice(AtEnd, data_key="then", load_default=AtEnd.CATCH_UP, description=THEN)
    refuses_edits = Boolean(data_key="refuseEdits", load_default=False)

    @post_load
    def _hold(self, data: dict[str, Any], **options: object) -> NewHold:
        return NewHold(**data)


class FlagHoldRequest(HoldRequest):
    """A hold of a flag; `updates` are set at once, in the same transaction."""

    updates = fields.Nested(UpdatesBody, error_messages=ERROR_MESSAGES)

    @validates_schema
    def _updates_now(self, data: dict[str, Any], **options: object) -> None:
        if "updates" in data and "starts_at" in data:
            raise ValidationError(
                {"updates": ["must not be set with from: they are set at once, the hold begins later"]}
            )


class EditHoldRequest(Body):
    """What to change of a hold that is not over; at least one field. Without an end it lasts until it is released."""

    described = {"minProperties": 1}

    ends_at = Instant(data_key="until", allow_none=True)
    at_end = Choice(AtEnd, data_key="then", description=THEN)
    reason = Text(max_length=MAX_REASON, blank=False)

    @validates_schema
    def _not_empty(self, data: dict[str, Any], **options: object) -> None:
        if not data:
            raise ValidationError("must set until, then or reason")

    @post_load
    def _edit(self, data: dict[str, Any], **options: object) -> HoldEdit:
        return HoldEdit(sets_end="ends_at" in data, **data)


class ReleaseHoldRequest(Body):
    """How to end a hold: as it says itself, unless `then` is given."""

    how = Choice(
        Release,
        data_key="then",
        description="what was planned meanwhile takes effect now, in order (`catchUp`), is skipped (`skip`), or moves "
        "by the hold's length, with all that follows (`shift`)",
    )

    @post_load
    def _release(self, data: dict[str, Any], **options: object) -> Release | None:
        return data.get("how")


def _position(position: list[Any]) -> tuple[datetime, UUID]:
    instant, hold_id = position
    return read_instant(instant), read_id(hold_id)


class HoldListQuery(Query):
    """Which holds: of all environments, unless one is named; with a `flagKey`, those that bear on this flag."""

    environment = environment()
    flag_key = Name(FLAG_KEY, KEY_MESSAGE, data_key="flagKey")
    status = Choice(HoldStatus)
    after = Cursor(_position, data_key="cursor")
    limit = Limit(default=50, maximum=500)

    @post_load
    def _query(self, data: dict[str, Any], **options: object) -> dict[str, Any]:
        key = data.pop("flag_key", None)
        flag = None if key is None else FlagName.asked(data.get("environment", DEFAULT_ENVIRONMENT), key)
        return {"query": HoldQuery(**data), "flag": flag}


class HoldView(View):
    """A hold as it is now: of one flag or, without a `flagKey`, of all flags of its environment."""

    id = fields.UUID(attribute="hold.id")
    environment = fields.String(attribute="hold.environment")
    flag_key = fields.String(data_key="flagKey", allow_none=True)
    plan_id = fields.UUID(
        attribute="hold.plan_id",
        data_key="planId",
        allow_none=True,
        metadata={"description": "the plan that it was placed for, if it was one"},
    )
    status = OneOf(HoldStatus)
    starts_at = Instant(attribute="hold.starts_at", data_key="from")
    ends_at = Instant(attribute="hold.ends_at", data_key="until", allow_none=True)
    at_end = OneOf(AtEnd, attribute="hold.at_end", data_key="then")
    reason = fields.String(attribute="hold.reason")
    refuses_edits = fields.Boolean(attribute="hold.refuses_edits", data_key="refuseEdits")
    created_by = fields.String(attribute="hold.created_by", data_key="createdBy")
    created_at = Instant(attribute="hold.created_at", data_key="createdAt")
    updated_at = Instant(attribute="hold.updated_at", data_key="updatedAt")
    released_by = fields.String(attribute="hold.released_by", data_key="releasedBy", allow_none=True)
    released_at = Instant(attribute="hold.released_at", data_key="releasedAt", allow_none=True)


class HoldsView(View):
    """The holds of a plan, one for each flag."""

    holds = fields.List(fields.Nested(HoldView))


class HoldPageView(View):
    """One page of holds by their beginning; `nextCursor` is null on the last."""

    holds = fields.List(fields.Nested(HoldView))
    next_cursor = fields.String(data_key="nextCursor", allow_none=True)
