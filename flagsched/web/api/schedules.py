"""/api/admin/flags/:flagKey/schedule."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from uuid import UUID

from flask import request, url_for

from flagsched.domain.errors import ScheduleMissing
from flagsched.domain.flags import FlagName
from flagsched.domain.instants import rfc3339
from flagsched.domain.schedules import PlannedChange
from flagsched.domain.timeline import EffectiveSchedule
from flagsched.ports import ScheduleQuery
from flagsched.usecases import schedules
from flagsched.web.api.blueprint import AdminBlueprint, named
from flagsched.web.context import caller, service, store
from flagsched.web.schemas.fields import cursor
from flagsched.web.schemas.flags import EnvironmentQuery
from flagsched.web.schemas.schedules import (
    BulkCreateScheduleRequest,
    BulkScheduleResponse,
    CreateScheduleRequest,
    ScheduleListQuery,
    ScheduleView,
)

blueprint = AdminBlueprint("schedules")


@blueprint.post("/flags/<flag_key>/schedule")
@blueprint.arguments(CreateScheduleRequest)
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.response(HTTPStatus.CREATED, ScheduleView)
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
def create_schedule(change: PlannedChange, query: dict[str, str], flag_key: str) -> EffectiveSchedule:
    """Plan one change of a flag."""
    return _plan(named(query, flag_key), [change], batch=False)[0]


@blueprint.post("/flags/<flag_key>/schedule/bulk")
@blueprint.arguments(BulkCreateScheduleRequest)
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.response(HTTPStatus.CREATED, BulkScheduleResponse)
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
def create_schedules(
    body: dict[str, Sequence[PlannedChange]], query: dict[str, str], flag_key: str
) -> dict[str, list[EffectiveSchedule]]:
    """Plan up to fifty changes of a flag, all or none."""
    return {"schedules": _plan(named(query, flag_key), body["schedules"], batch=True)}


@blueprint.get("/flags/<flag_key>/schedule")
@blueprint.arguments(ScheduleListQuery, location="query")
@blueprint.response(HTTPStatus.OK, ScheduleView(many=True))
def list_schedules(
    query: tuple[str, ScheduleQuery], flag_key: str
) -> tuple[Sequence[EffectiveSchedule], int, dict[str, str]]:
    """List the schedules of a flag by time."""
    environment, wanted = query
    page = schedules.list_schedules(FlagName.asked(environment, flag_key), wanted, store=store())
    return page.items, HTTPStatus.OK, {"Link": _next_link(page.items[-1], flag_key)} if page.more else {}


@blueprint.get("/flags/<flag_key>/schedule/<schedule_id>")
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.response(HTTPStatus.OK, ScheduleView)
def read_schedule(query: dict[str, str], flag_key: str, schedule_id: str) -> EffectiveSchedule:
    """Show a schedule."""
    return schedules.read_schedule(named(query, flag_key), _id(schedule_id, flag_key), store=store())


@blueprint.delete("/flags/<flag_key>/schedule/<schedule_id>")
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.response(HTTPStatus.OK, ScheduleView)
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
def cancel_schedule(query: dict[str, str], flag_key: str, schedule_id: str) -> EffectiveSchedule:
    """Cancel a schedule that is not in effect yet."""
    return schedules.cancel_schedule(named(query, flag_key), _id(schedule_id, flag_key), by=caller(), store=store())


def _plan(name: FlagName, changes: Sequence[PlannedChange], *, batch: bool) -> list[EffectiveSchedule]:
    return schedules.plan_schedules(name, changes, batch=batch, by=caller(), store=store(), limits=service().limits)


def _id(text: str, flag_key: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise ScheduleMissing(text, flag_key) from error


def _next_link(last: EffectiveSchedule, flag_key: str) -> str:
    place = cursor(rfc3339(last.schedule.scheduled_at), last.schedule.seq)
    query: dict[str, Any] = request.args.to_dict() | {"flag_key": flag_key, "cursor": place}
    return f'<{url_for(".list_schedules", **query)}>; rel="next"'
