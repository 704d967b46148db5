"""Schedules in requests and responses."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from flagsched.domain.conditions import Condition
from flagsched.domain.errors import BULK_REFUSED
from flagsched.domain.local_times import LOCAL_TIME, Fold, LocalTime
from flagsched.domain.overrides import SETS, USER_ID, OverrideChange
from flagsched.domain.schedules import MAX_BATCH, PlannedChange, ScheduleEdit, Status
from flagsched.domain.updates import Change, UnreadableUpdates, Updates, read_updates
from flagsched.ports.schedules import EnvironmentScheduleQuery, ScheduleQuery
from flagsched.web.schemas.fields import (
    ERROR_MESSAGES,
    PERCENTAGE,
    Boolean,
    Choice,
    Cursor,
    Id,
    Instant,
    Items,
    Limit,
    Name,
    OneOf,
    Percentage,
    ZoneName,
    read_id,
    read_position,
)
from flagsched.web.schemas.flags import EnvironmentQuery
from flagsched.web.schemas.instants import read_instant
from flagsched.web.schemas.overrides import USER_MESSAGE
from flagsched.web.schemas.strict import Body, View
from flagsched.web.schemas.windows import Window

ANY = "any"
CHANGE = {"updates", "override"}
"""What a schedule sets is one of these."""
LOCAL_FIELDS = {"local_time": "localTime", "time_zone": "timeZone", "fold": "fold"}


class UpdatesBody(Body):
    """What a schedule sets: at least one of the two."""

    described = {"minProperties": 1}

    enabled = Boolean()
    rollout_percentage = Percentage(data_key="rolloutPercentage")

    @validates_schema
    def _not_empty(self, data: dict[str, Any], **options: object) -> None:
        if not data:
            raise ValidationError("must set enabled, rolloutPercentage or both")

    @post_load
    def _updates(self, data: dict[str, Any], **options: object) -> Updates:
        return Updates(**data)


class OverrideBody(Body):
    """The override of one user: to include or exclude this user, or to remove what is set."""

    user_id = Name(USER_ID, USER_MESSAGE, data_key="userId", required=True)
    sets = fields.String(
        data_key="set",
        required=True,
        validate=validate.OneOf(list(SETS), error="must be one of: {choices}"),
        error_messages=ERROR_MESSAGES | {"invalid": "must be a string"},
    )

    @post_load
    def _change(self, data: dict[str, Any], **options: object) -> OverrideChange:
        return OverrideChange(data["user_id"], SETS[data["sets"]])


class ChangeBody(Body):
    """What to set: `updates` of the flag, or the `override` of one user."""

    updates = fields.Nested(UpdatesBody, error_messages=ERROR_MESSAGES)
    override = fields.Nested(OverrideBody, error_messages=ERROR_MESSAGES)

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _at_most_one(self, data: dict[str, Any], sent: Any, **options: object) -> None:
        if isinstance(sent, dict) and sent.keys() >= CHANGE:
            raise ValidationError({"override": ["must not stand beside updates"]})


class BoundsBody(Body):
    """The least and the most, both included; at least one of the two."""

    described = {"minProperties": 1}

    at_least = Percentage(data_key="atLeast")
    at_most = Percentage(data_key="atMost")

    @validates_schema
    def _bounds(self, data: dict[str, Any], **options: object) -> None:
        if not data:
            raise ValidationError("must set atLeast, atMost or both")
        if data.get("at_least", 0) > data.get("at_most", 100):
            raise ValidationError({"atLeast": ["must not be more than atMost"]})


class ConditionBody(Body):
    """What the flag must be just before the schedule takes effect, or it is skipped; at least one field."""

    described = {"minProperties": 1}

    enabled = Boolean()
    bounds = fields.Nested(BoundsBody, data_key="rolloutPercentage", error_messages=ERROR_MESSAGES)
    unedited = Boolean(
        metadata={"enum": [True], "description": "nobody has edited its settings by hand since this was planned"}
    )

    @validates_schema
    def _not_empty(self, data: dict[str, Any], **options: object) -> None:
        if not data:
            raise ValidationError("must set enabled, rolloutPercentage or unedited")
        if data.get("unedited") is False:
            raise ValidationError({"unedited": ["must be true, or left out"]})

    @post_load
    def _condition(self, data: dict[str, Any], **options: object) -> Condition:
        return Condition(data.get("enabled"), **data.get("bounds", {}), unedited="unedited" in data)


ONLY_IF = "skip it unless the flag is so just before it takes effect"


class Conditional(Body):
    """On what condition."""

    only_if = fields.Nested(
        ConditionBody, data_key="onlyIf", error_messages=ERROR_MESSAGES, metadata={"description": ONLY_IF}
    )


class RequiredChangeBody(ChangeBody):
    """What to set, exactly one of the two."""

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _at_least_one(self, data: dict[str, Any], sent: Any, **options: object) -> None:
        if isinstance(sent, dict) and not sent.keys() & CHANGE:
            raise ValidationError({"updates": ["is required, unless override is given"]})


def pop_change(data: dict[str, Any]) -> dict[str, Any]:
    """Take what is set out of loaded data: `updates`, of either kind, under their condition; or nothing."""
    found = [data.pop(name) for name in CHANGE if name in data]
    condition = data.pop("only_if", None)
    return {"updates": found[0].under(condition)} if found else {}


class LocalMoment(Body):
    """An instant as a local time."""

    local_time = fields.Raw(
        data_key="localTime",
        error_messages=ERROR_MESSAGES,
        metadata={
            "type": "string",
            "pattern": LOCAL_TIME.pattern,
            "description": "in place of `scheduledAt`: the time of day in `timeZone`, without an offset",
        },
    )
    time_zone = ZoneName(data_key="timeZone", metadata={"description": "the IANA name of the time zone of `localTime`"})
    fold = Choice(Fold, description="which of the two, where the clocks go back and it exists twice")


class ScheduledAt(Body):
    """An instant."""

    scheduled_at = Instant(data_key="scheduledAt")


class Moment(LocalMoment, ScheduledAt):
    """When: `scheduledAt`, or `localTime` with `timeZone`."""

    @validates_schema
    def _says_when_once(self, data: dict[str, Any], **options: object) -> None:
        refuse_two_instants(data, "scheduled_at", "scheduledAt")
        if "local_time" not in data and (beside := data.keys() & {"time_zone", "fold"}):
            raise ValidationError({LOCAL_FIELDS[field]: ["must not be set without localTime"] for field in beside})


def refuse_two_instants(data: Mapping[str, Any], field: str, name: str) -> None:
    """Raise ValidationError if loaded data says when by `field`, called `name`, and by a local time."""
    if field in data and "local_time" in data:
        raise ValidationError({"localTime": [f"must not be set with {name}"]})


def pop_local(data: dict[str, Any]) -> LocalTime | None:
    """Take a local time out of loaded data, if there is one. Raises ValidationError."""
    text, zone, fold = (data.pop(field, None) for field in LOCAL_FIELDS)
    if text is None:
        return None
    if zone is None:
        raise ValidationError({"timeZone": ["is required with localTime"]})
    try:
        return LocalTime.parse(text, zone, fold)
    except ValueError as error:
        raise ValidationError({"localTime": [str(error)]}) from error


def pop_moment(data: dict[str, Any]) -> dict[str, Any]:
    """Take what says when out of loaded data: `scheduled_at` with `local`, or nothing. Raises ValidationError."""
    local = pop_local(data)
    if local is None:
        at = data.pop("scheduled_at", None)
        return {} if at is None else {"scheduled_at": at}
    try:
        return {"scheduled_at": local.instant(), "local": local}
    except ValueError as error:
        raise ValidationError({"localTime": [str(error)]}) from error


# The fields of the last base come first, in generated clients too: so those that callers give by position stay.
class CreateScheduleRequest(Conditional, Moment, RequiredChangeBody, ChangeBody, ScheduledAt):
    """At an instant, set these updates, or the override of one user: exactly one of the two.

    `scheduledAt` is required, or `localTime` and `timeZone`.
    """

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _says_when(self, data: dict[str, Any], asked: Any, **options: object) -> None:
        if isinstance(asked, dict) and not asked.keys() & {"scheduledAt", "localTime"}:
            raise ValidationError({"scheduledAt": ["is required"]})

    @post_load
    def _change(self, data: dict[str, Any], **options: object) -> PlannedChange:
        return PlannedChange(**pop_moment(data), **pop_change(data))


class Batch(Items):
    """A list of up to 50 changes; the items of a longer one are not read."""

    def __init__(self, *, least: int) -> None:
        one = fields.Nested(CreateScheduleRequest, error_messages=ERROR_MESSAGES)
        super().__init__(one, least=least, most=MAX_BATCH, required=True)

    def _load(self, value: list[Any], attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> list[Any]:
        changes = [_load_fast(item) for item in value]
        # The schema finds the reasons.
        return super()._load(value, attr, data, **options) if None in changes else changes


def _load_fast(item: Any) -> PlannedChange | None:
    """Load a well-formed item as CreateScheduleRequest does, in a tenth of the time; None for all others."""
    if not (isinstance(item, dict) and item.keys() == {"scheduledAt", "updates"}):
        return None
    at, updates = item["scheduledAt"], read_updates(item["updates"])
    if not isinstance(at, str) or not isinstance(updates, Updates) or updates.only_if is not None:
        return None
    try:
        return PlannedChange(read_instant(at), updates)
    except ValueError:
        return None


class BulkCreateScheduleRequest(Body):
    """Several changes of one flag, all or none."""

    refusal = BULK_REFUSED

    schedules = Batch(least=1)


class EditScheduleRequest(Conditional, Moment, ChangeBody, ScheduledAt):
    """What to change of a schedule: its instant, all that it sets (updates or an override), its condition."""

    described = {"minProperties": 1}

    only_if = fields.Nested(
        ConditionBody,
        data_key="onlyIf",
        allow_none=True,
        error_messages=ERROR_MESSAGES,
        metadata={"description": f"{ONLY_IF}; null for no condition"},
    )

    @validates_schema
    def _not_empty(self, data: dict[str, Any], **options: object) -> None:
        if not data:
            raise ValidationError("must set scheduledAt, updates, override or onlyIf")

    @post_load
    def _edit(self, data: dict[str, Any], **options: object) -> ScheduleEdit:
        condition = {"sets_condition": True, "only_if": data.pop("only_if")} if "only_if" in data else {}
        return ScheduleEdit(**pop_moment(data), **pop_change(data), **condition)


class ScheduleListQuery(EnvironmentQuery):
    """A page of a flag's schedules."""

    status = fields.String(
        validate=validate.OneOf([s.value for s in Status], error="must be one of: {choices}"),
    )
    after = Cursor(read_position, data_key="cursor")
    limit = Limit(default=1000, maximum=1000)

    @post_load
    def _query(self, data: dict[str, Any], **options: object) -> dict[str, Any]:
        environment, status = data.pop("environment"), data.pop("status", None)
        return {"environment": environment, "query": ScheduleQuery(statuses=[Status(status)] if status else [], **data)}


def _read_position(position: list[Any]) -> tuple[datetime, UUID, int]:
    instant, flag_id, seq = position
    at, number = read_position([instant, seq])
    return at, read_id(flag_id), number


class EnvironmentScheduleListQuery(EnvironmentQuery, Window):
    """A page of an environment's schedules, `pending` by default; `from` and `to` bound `scheduledAt`."""

    status = fields.String(
        validate=validate.OneOf([*(s.value for s in Status), ANY], error="must be one of: {choices}"),
    )
    batch_id = Id(data_key="batchId")
    after = Cursor(_read_position, data_key="cursor")
    limit = Limit(default=50, maximum=500)

    @post_load
    def _query(self, data: dict[str, Any], **options: object) -> EnvironmentScheduleQuery:
        # A query for a batch means all of it.
        status = data.pop("status", ANY if "batch_id" in data else Status.PENDING)
        return EnvironmentScheduleQuery(statuses=[] if status == ANY else [Status(status)], **data)


UPDATES = {
    "description": "what it sets; null if that can't be read, or is an override",
    "type": ["object", "null"],
    "properties": {"enabled": {"type": "boolean"}, "rolloutPercentage": PERCENTAGE},
    "additionalProperties": False,
    "minProperties": 1,
}


OVERRIDE = {
    "description": "the override that it sets or removes; null if it sets updates",
    "type": ["object", "null"],
    "properties": {"userId": {"type": "string"}, "set": {"type": "string", "enum": list(SETS)}},
    "required": ["userId", "set"],
    "additionalProperties": False,
}


CONDITION = {
    "description": "what the flag must be just before, or it is skipped; null if it has no condition",
    "type": ["object", "null"],
    "properties": {
        "enabled": {"type": "boolean"},
        "rolloutPercentage": {
            "type": "object",
            "properties": {"atLeast": PERCENTAGE, "atMost": PERCENTAGE},
            "additionalProperties": False,
            "minProperties": 1,
        },
        "unedited": {"type": "boolean", "enum": [True]},
    },
    "additionalProperties": False,
    "minProperties": 1,
}


class ConditionView(fields.Field[Any]):
    """The condition of a schedule; null if it has none."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> dict[str, Any] | None:
        condition: Condition | None = value
        return None if condition is None else condition.as_json()


class UpdatesView(fields.Field[Any]):
    """The updates of a schedule; null if they can't be read, or if it sets an override."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> dict[str, bool | int] | None:
        change: Change | UnreadableUpdates = value
        return None if isinstance(change, OverrideChange) else change.as_json()


class OverrideChangeView(fields.Field[Any]):
    """The override that a schedule sets or removes; null if it sets updates."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **options: Any) -> dict[str, str] | None:
        change: OverrideChange | None = value
        return None if change is None else change.as_json()["override"]


class ScheduleView(View):
    """A schedule as it is now."""

    id = fields.UUID(attribute="schedule.id")
    batch_id = fields.UUID(
        attribute="schedule.batch_id",
        data_key="batchId",
        allow_none=True,
        metadata={"description": "the plan that it belongs to: the same for all schedules of one bulk or plan"},
    )
    flag_key = fields.String(attribute="flag.name.key", data_key="flagKey")
    environment = fields.String(attribute="flag.name.environment")
    scheduled_at = Instant(attribute="schedule.scheduled_at", data_key="scheduledAt")
    local_time = fields.String(
        attribute="schedule.local_time",
        data_key="localTime",
        allow_none=True,
        metadata={"description": "the local time that was asked for, if it was one"},
    )
    time_zone = fields.String(attribute="schedule.time_zone", data_key="timeZone", allow_none=True)
    status = OneOf(Status, attribute="schedule.status")
    takes_effect_at = Instant(
        data_key="takesEffectAt",
        allow_none=True,
        metadata={
            "description": "when it ends, as holds have it; null once it has ended, and while an open hold keeps it"
        },
    )
    held_by = fields.UUID(
        data_key="heldBy",
        allow_none=True,
        metadata={"description": "the hold that decides `takesEffectAt`, if one does"},
    )
    in_effect = fields.Boolean(
        data_key="inEffect", metadata={"description": "whether it has changed the flag, recorded or not"}
    )
    updates = UpdatesView(attribute="schedule.updates", metadata=UPDATES)
    override = OverrideChangeView(attribute="schedule.override", metadata=OVERRIDE)
    only_if = ConditionView(attribute="schedule.updates.only_if", data_key="onlyIf", metadata=CONDITION)
    applied_at = Instant(
        attribute="schedule.applied_at",
        data_key="appliedAt",
        allow_none=True,
        metadata={"description": "when its effect was recorded"},
    )
    status_reason = fields.String(
        attribute="reason",
        data_key="statusReason",
        allow_none=True,
        metadata={"description": "why it was skipped, or has failed"},
    )
    error_message = fields.String(
        data_key="errorMessage", allow_none=True, metadata={"description": "why it fails, or has failed"}
    )
    created_by = fields.String(attribute="schedule.created_by", data_key="createdBy")
    created_at = Instant(attribute="schedule.created_at", data_key="createdAt")
    updated_at = Instant(attribute="schedule.updated_at", data_key="updatedAt")
    cancelled_by = fields.String(attribute="schedule.cancelled_by", data_key="cancelledBy", allow_none=True)
    cancelled_at = Instant(attribute="schedule.cancelled_at", data_key="cancelledAt", allow_none=True)


class SchedulePageView(View):
    """One page of schedules of all flags; `nextCursor` is null on the last."""

    schedules = fields.List(fields.Nested(ScheduleView))
    next_cursor = fields.String(data_key="nextCursor", allow_none=True)


class BulkScheduleResponse(View):
    """The schedules of a batch, in the order of the request."""

    schedules = fields.List(fields.Nested(ScheduleView))
