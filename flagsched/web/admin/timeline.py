"""/api/admin/flags/:flagKey/timeline, and the preview of a plan."""

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus

from flagsched.domain.flags import FlagName
from flagsched.domain.schedules import PlannedChange
from flagsched.usecases import timeline
from flagsched.usecases.timeline import Preview, Timeline
from flagsched.web.admin.blueprint import AdminBlueprint
from flagsched.web.roles import Role
from flagsched.web.schemas.timeline import PreviewScheduleRequest, PreviewView, TimelineQuery, TimelineView
from flagsched.web.service import service, store

blueprint = AdminBlueprint("timeline", "What a flag was, is and will be.")


@blueprint.get("/flags/<flag_key>/timeline")
@blueprint.on_flag(TimelineQuery)
@blueprint.response(HTTPStatus.OK, TimelineView)
def read_timeline(name: FlagName, start: datetime | None = None, end: datetime | None = None) -> Timeline:
    """Read what a flag was, is and will be.

    Segments from `from` until before `to`. A window with more than 1,000 past changes goes on at `nextFrom`.
    """
    return timeline.read_timeline(name, start, end, store=store())


@blueprint.post("/flags/<flag_key>/schedule/preview", role=Role.VIEWER)
@blueprint.on_flag(body=PreviewScheduleRequest)
@blueprint.response(HTTPStatus.OK, PreviewView)
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
def preview_schedules(name: FlagName, drafts: Sequence[PlannedChange]) -> Preview:
    """Preview a flag with up to fifty more changes.

    Nothing is written. It is refused for the same reasons as the creation of these changes.
    """
    return timeline.preview_schedules(name, drafts, store=store(), limits=service().limits)
