"""/api/admin/flags/:flagKey/timeline, and the preview of a plan."""

from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any

from flagsched.domain.schedules import PlannedChange
from flagsched.usecases import timeline
from flagsched.usecases.timeline import Preview, Timeline
from flagsched.web.blueprint import AdminBlueprint, named
from flagsched.web.schemas.flags import EnvironmentQuery
from flagsched.web.schemas.timeline import PreviewScheduleRequest, PreviewView, TimelineQuery, TimelineView
from flagsched.web.service import service, store

blueprint = AdminBlueprint("timeline", "What a flag was, is and will be.")


@blueprint.get("/flags/<flag_key>/timeline")
@blueprint.arguments(TimelineQuery, location="query")
@blueprint.response(HTTPStatus.OK, TimelineView)
def read_timeline(query: dict[str, Any], flag_key: str) -> Timeline:
    """Read what a flag was, is and will be.

    Segments from `from` until before `to`. A window with more than 1,000 past changes goes on at `nextFrom`.
    """
    start: datetime | None = query.get("start")
    return timeline.read_timeline(named(query, flag_key), start, query.get("end"), store=store())


@blueprint.post("/flags/<flag_key>/schedule/preview")
@blueprint.arguments(PreviewScheduleRequest)
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.response(HTTPStatus.OK, PreviewView)
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
def preview_schedules(drafts: Sequence[PlannedChange], query: dict[str, str], flag_key: str) -> Preview:
    """Preview a flag with up to fifty more changes.

    Nothing is written. It is refused for the same reasons as the creation of these changes.
    """
    return timeline.preview_schedules(named(query, flag_key), drafts, store=store(), limits=service().limits)
