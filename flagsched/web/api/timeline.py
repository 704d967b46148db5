"""/api/admin/flags/:flagKey/timeline, and the preview of a plan."""

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any

from flagsched.domain.schedules import PlannedChange
from flagsched.usecases import timeline
from flagsched.usecases.timeline import Preview, Timeline
from flagsched.web.api.blueprint import AdminBlueprint, named
from flagsched.web.context import service, store
from flagsched.web.schemas.flags import EnvironmentQuery
from flagsched.web.schemas.timeline import PreviewScheduleRequest, PreviewView, TimelineQuery, TimelineView

blueprint = AdminBlueprint("timeline")


@blueprint.get("/flags/<flag_key>/timeline")
@blueprint.arguments(TimelineQuery, location="query")
@blueprint.response(HTTPStatus.OK, TimelineView)
def read_timeline(query: dict[str, Any], flag_key: str) -> Timeline:
    """Show what a flag was, is and will be."""
    start: datetime | None = query.get("start")
    return timeline.read_timeline(named(query, flag_key), start, query.get("end"), store=store())


@blueprint.post("/flags/<flag_key>/schedule/preview")
@blueprint.arguments(PreviewScheduleRequest)
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.response(HTTPStatus.OK, PreviewView)
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
def preview_schedules(drafts: Sequence[PlannedChange], query: dict[str, str], flag_key: str) -> Preview:
    """Show what a flag would be with up to fifty more changes; nothing is written."""
    return timeline.preview_plan(named(query, flag_key), drafts, store=store(), limits=service().limits)
