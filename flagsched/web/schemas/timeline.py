"""Timelines and previews in requests and responses."""

from typing import Any

from marshmallow import fields, post_load

from flagsched.web.schemas.fields import Instant
from flagsched.web.schemas.flags import EnvironmentQuery
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


class TimelineView(View):
    """The segments of a window; if they end before it does, the rest is asked for with `from` = `nextFrom`."""

    segments = fields.List(fields.Nested(SegmentView))
    next_start = Instant(data_key="nextFrom", allow_none=True)


class PreviewView(View):
    """What the flag would be from now on, and the pending schedules that set the same meanwhile."""

    segments = fields.List(fields.Nested(SegmentView))
    conflicts = fields.List(fields.Nested(ScheduleView))
