"""Flags in requests and responses."""

import re
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validates_schema

from flagsched.domain.flags import DEFAULT_ENVIRONMENT, FLAG_KEY, MAX_DESCRIPTION, FlagEdit
from flagsched.domain.holds import AtEnd, HoldScope
from flagsched.domain.overrides import MAX_REASON
from flagsched.domain.updates import Updates
from flagsched.ports.flags import FlagQuery
from flagsched.web.schemas.fields import (
    PERCENTAGE,
    Boolean,
    Cursor,
    Instant,
    Limit,
    Name,
    OneOf,
    Percentage,
    Text,
    environment,
)
from flagsched.web.schemas.strict import Body, Query, View

KEY_MESSAGE = "must be 1 to 100 letters, digits, '.', '_', '-', beginning with a letter or digit"


class EnvironmentQuery(Query):
    """The environment, `production` by default."""

    environment = environment(load_default=DEFAULT_ENVIRONMENT)


class ReasonQuery(Query):
    """Why to edit by hand what a hold refuses to have edited."""

    override = Text(max_length=MAX_REASON, blank=False)


class EditQuery(ReasonQuery, EnvironmentQuery):
    """The environment, and why to edit by hand what a hold refuses to have edited."""


class NewFlagQuery(Query):
    """The environment, unless the body names it."""

    environment = environment()


class CreateFlagRequest(Body):
    """A new flag."""

    key = Name(FLAG_KEY, KEY_MESSAGE, required=True)
    environment = environment()
    enabled = Boolean(load_default=False)
    rollout_percentage = Percentage(data_key="rolloutPercentage", load_default=100)
    description = Text(max_length=MAX_DESCRIPTION, load_default="")


class EditFlagRequest(Body):
    """What to change of a flag; at least one field."""

    described = {"minProperties": 1}

    enabled = Boolean()
    rollout_percentage = Percentage(data_key="rolloutPercentage")
    description = Text(max_length=MAX_DESCRIPTION)

    @validates_schema
    def _not_empty(self, data: dict[str, Any], **options: object) -> None:
        if not data:
            raise ValidationError("must set enabled, rolloutPercentage or description")

    @post_load
    def _edit(self, data: dict[str, Any], **options: object) -> FlagEdit:
        description = data.pop("description", None)
        return FlagEdit(Updates(**data) if data else None, description)


def _key(position: list[Any]) -> str:
    (key,) = position
    if not re.fullmatch(FLAG_KEY, key):
        raise ValueError(key)
    return str(key)


class FlagListQuery(EnvironmentQuery):
    """Which flags."""

    search = Text(max_length=100, data_key="q", load_default="")
    after = Cursor(_key, data_key="cursor")
    limit = Limit(default=50, maximum=500)

    @post_load
    def _query(self, data: dict[str, Any], **options: object) -> FlagQuery:
        return FlagQuery(**data)


class BearingHoldView(View):
    """A hold that bears on a flag: its own, or that of its environment."""

    id = fields.UUID()
    scope = OneOf(HoldScope)
    starts_at = Instant(data_key="from")
    ends_at = Instant(data_key="until", allow_none=True)
    at_end = OneOf(AtEnd, data_key="then")
    reason = fields.String()
    refuses_edits = fields.Boolean(data_key="refuseEdits")


class FlagView(View):
    """A flag as it is now."""

    key = fields.String(attribute="flag.name.key")
    environment = fields.String(attribute="flag.name.environment")
    enabled = fields.Boolean(attribute="state.enabled")
    rollout_percentage = fields.Integer(
        attribute="state.rollout_percentage", data_key="rolloutPercentage", metadata=PERCENTAGE
    )
    description = fields.String(attribute="flag.description")
    version = fields.Integer(attribute="state.version", metadata={"description": "one more with each change"})
    next_change_at = Instant(
        data_key="nextChangeAt", allow_none=True, metadata={"description": "when the plan changes it next"}
    )
    holds = fields.List(
        fields.Nested(BearingHoldView), metadata={"description": "the holds that stop what is planned for it now"}
    )
    materialized = fields.Boolean(metadata={"description": "whether all that is in effect is recorded"})
    created_at = Instant(attribute="flag.created_at", data_key="createdAt")
    updated_at = Instant(
        attribute="state.changed_at", data_key="updatedAt", metadata={"description": "when its last change took effect"}
    )


class FlagListView(View):
    """One page of flags; `nextCursor` is null on the last."""

    flags = fields.List(fields.Nested(FlagView))
    next_cursor = fields.String(data_key="nextCursor", allow_none=True)


class EvaluatedFlagView(View):
    """A flag, and its value for the caller."""

    key = fields.String(attribute="flag.key")
    enabled = fields.Boolean(attribute="flag.effective.state.enabled")
    rollout_percentage = fields.Integer(
        attribute="flag.effective.state.rollout_percentage", data_key="rolloutPercentage", metadata=PERCENTAGE
    )
    value = fields.Boolean(attribute="evaluation.value")


class FlagValuesView(Schema):
    """Whether each flag of an environment is on for the caller, by key."""

    described = {"additionalProperties": {"type": "boolean"}}

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        del many
        return obj
