"""Timelines and previews in requests and responses."""

from typing import Any

from marshmallow import fields, post_load

from flagsched.domain.schedules import Status
from flagsched.web.schemas.fields import Instant, OneOf
from flagsched.web.schemas.flags import BearingHoldView, EnvironmentQuery
from flagsched.web.schemas.schedules import Batch, ScheduleView
from flagsched.web.schemas.strict import Body, View
from flagsched.web.schemas.windows import Window


class TimelineQuery(EnvironmentQuery, Window):
    """The part of a flag's timeline to return."""


class PreviewScheduleRequest(Body):
    """Changes to preview."""

    schedules = Batch(least=0)

    @post_load
    def _drafts(self, data: dict[str, Any], **options: object) -> Any:
        return data["schedules"]


class CauseView(View):
    """What began a segment: one of the three is set."""

    schedule_id = fields.UUID(data_key="scheduleId", allow_none=True, metadata={"description": "recorded or not"})
    draft = fields.Integer(allow_none=True, metadata={"description": "the position of a considered change"})
    entry_id = fields.Integer(data_key="entryId", allow_none=True, metadata={"description": "an entry of the history"})


class SegmentView(View):
    """The state from an instant on, until before another; without one, for as long as the plan stays as it is."""

    start = Instant(data_key="from")
    end = Instant(data_key="to", allow_none=True)
    enabled = fields.Boolean(attribute="state.enabled")
    rollout_percentage = fields.Integer(attribute="state.rollout_percentage", data_key="rolloutPercentage")
    version = fields.Integer(attribute="state.version")
    cause = fields.Nested(CauseView)


class DeviationView(View):
    """A schedule, planned (`scheduleId`) or considered (`draft`, its position), that is not as it was planned."""

    schedule_id = fields.UUID(attribute="cause.schedule_id", data_key="scheduleId", allow_none=True)
    draft = fields.Integer(attribute="cause.draft", allow_none=True)
    scheduled_at = Instant(data_key="scheduledAt")


class PassedOverView(DeviationView):
    """A schedule that changes nothing, and why: a hold or its condition has it skipped, or it can't be read."""

    status = OneOf(Status)
    reason = fields.String()


class DeferredView(DeviationView):
    """A schedule that a hold keeps beyond its instant; `takesEffectAt` is null while the hold is open."""

    until = Instant(data_key="takesEffectAt", allow_none=True)
    held_by = fields.UUID(data_key="heldBy")


class TimelineView(View):
    """The segments of a window, its holds, and what of it is not as it was planned.

    If they end before the window does, the rest is asked for with `from` = `nextFrom`.
    """

    segments = fields.List(fields.Nested(SegmentView))
    holds = fields.List(fields.Nested(BearingHoldView))
    passed_over = fields.List(fields.Nested(PassedOverView), data_key="passedOver")
    deferred = fields.List(fields.Nested(DeferredView))
    next_start = Instant(data_key="nextFrom", allow_none=True)


class PreviewView(View):
    """What the flag would be from now on, and the pending schedules that set the same meanwhile."""

    segments = fields.List(fields.Nested(SegmentView))
    conflicts = fields.List(fields.Nested(ScheduleView))
    passed_over = fields.List(fields.Nested(PassedOverView), data_key="passedOver")
    deferred = fields.List(fields.Nested(DeferredView))
