"""Plans in requests and responses."""

from datetime import datetime
from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from flagsched.domain.durations import Duration
from flagsched.domain.errors import PLAN_KEPT, PLAN_REFUSED
from flagsched.domain.flags import DEFAULT_ENVIRONMENT, FLAG_KEY, FlagName
from flagsched.domain.instants import rfc3339
from flagsched.domain.local_times import Fold
from flagsched.domain.plans import (
    MAX_CHANGES,
    MAX_DESCRIPTION,
    MAX_FLAGS,
    MAX_TITLE,
    PLAN_NAME,
    ListedChanges,
    NewPlan,
    PlanEdit,
    PlanItems,
    PlanStatus,
)
from flagsched.domain.rollouts import Rollout, RolloutEnvironment, RolloutStep, ramp
from flagsched.domain.schedules import PlanItem, PlannedChange
from flagsched.ports.plans import PlanQuery
from flagsched.web.schemas.fields import (
    ERROR_MESSAGES,
    Boolean,
    Choice,
    Cursor,
    Instant,
    Items,
    Length,
    Limit,
    Name,
    OneOf,
    Percentage,
    Text,
    cursor,
    environment,
    read_id,
)
from flagsched.web.schemas.flags import KEY_MESSAGE
from flagsched.web.schemas.instants import read_instant
from flagsched.web.schemas.schedules import (
    Conditional,
    CreateScheduleRequest,
    LocalMoment,
    RequiredChangeBody,
    ScheduleView,
    pop_change,
    pop_local,
    pop_moment,
    refuse_two_instants,
)
from flagsched.web.schemas.strict import Body, Query, View
from flagsched.web.schemas.timeline import PreviewView

NAME_MESSAGE = "must be 1 to 100 letters, digits, '.', '_', '-', beginning with a letter or digit"
PRODUCT = {
    "flags": "flags",
    "environments": "environments",
    "start_at": "startAt",
    "local_time": "localTime",
    "time_zone": "timeZone",
    "fold": "fold",
    "steps": "steps",
    "ramp": "ramp",
}
"""The fields of the short form, with their names in JSON."""


def plan_name(**options: Any) -> Name:
    """A field for a plan's name."""
    return Name(PLAN_NAME, NAME_MESSAGE, **options)


class PlanChangeBody(CreateScheduleRequest):
    """A change of one flag."""

    flag_key = Name(FLAG_KEY, KEY_MESSAGE, data_key="flagKey", required=True)
    environment = environment(load_default=DEFAULT_ENVIRONMENT)

    @post_load
    def _change(self, data: dict[str, Any], **options: object) -> Any:
        name = FlagName(data.pop("environment"), data.pop("flag_key"))
        return name, PlannedChange(**pop_moment(data), **pop_change(data))


class PlanEnvironmentBody(Body):
    """An environment, and how much later than the plan it starts."""

    name = environment(required=True)
    offset = Length()

    @post_load
    def _environment(self, data: dict[str, Any], **options: object) -> RolloutEnvironment:
        return RolloutEnvironment(data["name"], data.get("offset"))


class PlanStepBody(Conditional, RequiredChangeBody):
    """What to set of each flag, how long after the step before."""

    after = Length("how long after the step before; not negative")

    @post_load
    def _step(self, data: dict[str, Any], **options: object) -> RolloutStep:
        return RolloutStep(**pop_change(data), after=data.get("after"))


class RampBody(Conditional):
    """Steps from one percentage to another, both included; each on the condition."""

    start = Percentage(data_key="from", required=True)
    end = Percentage(data_key="to", required=True)
    steps = fields.Integer(
        strict=True,
        required=True,
        validate=validate.Range(2, 101, error="must be an integer from 2 to 101"),
        error_messages=ERROR_MESSAGES | {"invalid": "must be an integer from 2 to 101"},
    )
    every = Length("how long after one step the next comes: 'PT1S' or longer", least=Duration(seconds=1), required=True)
    curve = fields.String(
        load_default="linear",
        validate=validate.OneOf(["linear", "exponential"], error="must be one of: {choices}"),
        error_messages=ERROR_MESSAGES | {"invalid": "must be one of: linear, exponential"},
    )
    enabled = Boolean(metadata={"description": "set by the first step"})

    @post_load
    def _steps(self, data: dict[str, Any], **options: object) -> list[RolloutStep]:
        exponential = data.pop("curve") == "exponential"
        if data.get("enabled") is False:
            raise ValidationError({"enabled": ["must be true, or left out"]})
        try:
            steps = ramp(
                data["start"],
                data["end"],
                data["steps"],
                data["every"],
                exponential=exponential,
                enable="enabled" in data,
            )
        except ValueError as error:
            raise ValidationError({"steps": [str(error)]}) from error
        return [step.under(data.get("only_if")) for step in steps]


class PlanBody(LocalMoment):
    """Changes that each say when, or the same steps for several flags and environments."""

    refusal = PLAN_REFUSED

    title = Text(max_length=MAX_TITLE, load_default="")
    description = Text(max_length=MAX_DESCRIPTION, load_default="")
    changes = Items(fields.Nested(PlanChangeBody, error_messages=ERROR_MESSAGES), least=1, most=MAX_CHANGES)
    flags = Items(Name(FLAG_KEY, KEY_MESSAGE), least=1, most=MAX_FLAGS)
    environments = Items(fields.Nested(PlanEnvironmentBody, error_messages=ERROR_MESSAGES), least=1, most=MAX_CHANGES)
    start_at = Instant(data_key="startAt", metadata={"description": "now, if neither this nor `localTime` is set"})
    steps = Items(fields.Nested(PlanStepBody, error_messages=ERROR_MESSAGES), least=1, most=MAX_CHANGES)
    ramp = fields.Nested(RampBody, error_messages=ERROR_MESSAGES)

    @validates_schema
    def _has_one_form(self, data: dict[str, Any], **options: object) -> None:
        beside = [name for field, name in PRODUCT.items() if field in data]
        if "changes" in data and beside:
            raise ValidationError({name: ["must not be set with changes"] for name in beside})
        if "changes" not in data and "flags" not in data:
            raise ValidationError({"flags": ["is required, unless changes are given"]})
        if (flags := len({name.key for name, _ in data.get("changes", [])})) > MAX_FLAGS:
            raise ValidationError({"changes": [f"must be of at most {MAX_FLAGS} flag keys, not {flags}"]})
        refuse_two_instants(data, "start_at", "startAt")
        if "fold" in data and "local_time" not in data:
            raise ValidationError({"fold": ["must not be set without localTime"]})

    @validates_schema
    def _has_steps(self, data: dict[str, Any], **options: object) -> None:
        if "flags" not in data:
            return
        if ("steps" in data) == ("ramp" in data):
            raise ValidationError({"steps": ["must be set, or ramp, and not both"]})
        names = [one.name for one in data.get("environments", [])]
        for field, values in (("flags", data["flags"]), ("environments", names)):
            if twice := {i: ["is in this list already"] for i, value in enumerate(values) if value in values[:i]}:
                raise ValidationError({field: twice})
        size = len(data["flags"]) * (len(names) or 1) * len(data.get("steps") or data["ramp"])
        if size > MAX_CHANGES:
            raise ValidationError(
                {"flags": [f"make {size} changes with all environments and steps; most are {MAX_CHANGES}"]}
            )

    @post_load
    def _plan(self, data: dict[str, Any], **options: object) -> NewPlan:
        texts = {field: data.pop(field) for field in ("name", "title", "description") if field in data}
        return NewPlan(_listed(data["changes"]) if "changes" in data else _product(data), **texts)


class CreatePlanRequest(PlanBody):
    """A plan."""

    name = plan_name(description="of a file, say: unique until the plan is ended")


class ApplyPlanRequest(PlanBody):
    """What the plan of a name is to be."""


class ApplyPlanQuery(Query):
    """Whether to write."""

    dry_run = fields.String(
        data_key="dryRun",
        load_default="false",
        validate=validate.OneOf(["true", "false"], error="must be one of: {choices}"),
    )

    @post_load
    def _query(self, data: dict[str, Any], **options: object) -> dict[str, Any]:
        return {"dry_run": data["dry_run"] == "true"}


def _listed(changes: list[tuple[FlagName, PlannedChange]]) -> PlanItems:
    places = (("changes", i) for i in range(len(changes)))
    return ListedChanges(
        [
            PlanItem(name, change, (*place, change.says_when), place, (*place, "flagKey"))
            for place, (name, change) in zip(places, changes, strict=True)
        ]
    )


def _product(data: dict[str, Any]) -> PlanItems:
    zone = data.get("time_zone")
    if "local_time" not in data:
        data.pop("time_zone", None)
    local = pop_local(data)
    if local is not None:
        try:
            local.instant()
        except ValueError as error:
            raise ValidationError({"localTime": [str(error)]}) from error
    return Rollout(
        flags=data["flags"],
        environments=data.get("environments", [RolloutEnvironment(DEFAULT_ENVIRONMENT)]),
        steps=data.get("steps") or data["ramp"],
        ramped="ramp" in data,
        start=local or data.get("start_at"),
        zone=zone,
    )


class EditPlanRequest(Body):
    """What to change of a plan; at least one field."""

    described = {"minProperties": 1}
    refusal = PLAN_KEPT

    title = Text(max_length=MAX_TITLE)
    description = Text(max_length=MAX_DESCRIPTION)
    shift = Length("how far to move all that is not in effect: 'PT1H', '-PT30M'")
    fold = Choice(Fold, description="which of the two, where that leads to a local time that exists twice")

    @validates_schema
    def _not_empty(self, data: dict[str, Any], **options: object) -> None:
        if not data:
            raise ValidationError("must set title, description or shift")
        if "fold" in data and "shift" not in data:
            raise ValidationError({"fold": ["must not be set without shift"]})

    @post_load
    def _edit(self, data: dict[str, Any], **options: object) -> PlanEdit:
        return PlanEdit(**data)


def _read_position(position: list[Any]) -> tuple[datetime, UUID]:
    instant, plan_id = position
    if not isinstance(instant, str):
        raise ValueError(instant)  # noqa: TRY004 - of the caller's value
    return read_instant(instant), read_id(plan_id)


def plan_cursor(created_at: datetime, plan_id: UUID) -> str:
    """The cursor of the page that follows this plan."""
    return cursor(rfc3339(created_at), str(plan_id))


class PlanListQuery(Query):
    """Which plans."""

    environment = environment()
    name = plan_name()
    search = Text(max_length=100, data_key="q", load_default="")
    status = Choice(PlanStatus)
    before = Cursor(_read_position, data_key="cursor")
    limit = Limit(default=50, maximum=100)

    @post_load
    def _query(self, data: dict[str, Any], **options: object) -> dict[str, Any]:
        return {"status": data.pop("status", None), "query": PlanQuery(**data)}


class ProgressView(View):
    """How many schedules are ahead, and what became of the others."""

    pending = fields.Integer()
    applied = fields.Integer()
    skipped = fields.Integer()
    cancelled = fields.Integer()
    failed = fields.Integer()
    next_at = Instant(data_key="nextAt", allow_none=True)


class PlanView(View):
    """A plan as it is now."""

    id = fields.UUID(attribute="plan.id", metadata={"description": "the `batchId` of its schedules"})
    name = fields.String(attribute="plan.name", allow_none=True)
    title = fields.String(attribute="plan.title")
    description = fields.String(attribute="plan.description")
    status = OneOf(PlanStatus)
    progress = fields.Nested(ProgressView)
    environments = fields.List(fields.String())
    flags = fields.List(fields.String())
    created_by = fields.String(attribute="plan.created_by", data_key="createdBy")
    created_at = Instant(attribute="plan.created_at", data_key="createdAt")
    updated_at = Instant(attribute="plan.updated_at", data_key="updatedAt")
    version = fields.Integer(attribute="plan.version", metadata={"description": "one more with each change of it"})


class CreatedPlanView(View):
    """A plan, and its schedules in the order of the request."""

    plan = fields.Nested(PlanView)
    schedules = fields.List(fields.Nested(ScheduleView))


class PlanDetailView(View):
    """A plan, what of it is ahead, and what is in effect, was cancelled or has failed; each by time."""

    plan = fields.Nested(PlanView)
    pending = fields.List(fields.Nested(ScheduleView))
    ended = fields.List(fields.Nested(ScheduleView))


class PlanPageView(View):
    """One page of plans; `nextCursor` is null on the last."""

    plans = fields.List(fields.Nested(PlanView))
    next_cursor = fields.String(data_key="nextCursor", allow_none=True)


class AppliedPlanView(View):
    """What a named plan has become, or in a dry run would become; ids of what a dry run adds are of nothing."""

    plan = fields.Nested(PlanView)
    created = fields.Boolean()
    changed = fields.Boolean()
    added = fields.List(fields.Nested(ScheduleView))
    cancelled = fields.List(fields.Nested(ScheduleView))
    kept = fields.List(fields.Nested(ScheduleView))


class FlagPreviewView(PreviewView):
    """What one of the flags would be from now on."""

    flag_key = fields.String(data_key="flagKey")
    environment = fields.String()


class PlanPreviewView(View):
    """What the flags of a plan would be, by environment and key."""

    flags = fields.List(fields.Nested(FlagPreviewView))
