"""/api/admin/flags/:flagKey/schedule."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import request

from flagsched.domain.effective import EffectiveSchedule
from flagsched.domain.flags import FlagName
from flagsched.domain.instants import rfc3339
from flagsched.domain.schedules import PlannedChange, ScheduleEdit
from flagsched.ports.schedules import EnvironmentScheduleQuery, ScheduleQuery
from flagsched.usecases import schedules
from flagsched.usecases.idempotency import IdempotentRequest
from flagsched.web.admin.blueprint import AdminBlueprint
from flagsched.web.caller import caller
from flagsched.web.idempotency import idempotent_request
from flagsched.web.schemas.fields import cursor
from flagsched.web.schemas.headers import IdempotencyHeaders, response_headers
from flagsched.web.schemas.schedules import (
    BulkCreateScheduleRequest,
    BulkScheduleResponse,
    CreateScheduleRequest,
    EditScheduleRequest,
    EnvironmentScheduleListQuery,
    ScheduleListQuery,
    SchedulePageView,
    ScheduleView,
)
from flagsched.web.service import service, store

blueprint = AdminBlueprint("schedules", "Plan changes of flags, and read, edit and cancel what is planned.")
SINGLE = ScheduleView()
BULK = BulkScheduleResponse()


@blueprint.post("/flags/<flag_key>/schedule")
@blueprint.on_flag(body=CreateScheduleRequest, headers=IdempotencyHeaders)
@blueprint.creates(ScheduleView)
def create_schedule(name: FlagName, change: PlannedChange, key: str | None) -> EffectiveSchedule:
    """Plan one change of a flag.

    At `scheduledAt`, `updates` take effect, or the `override` of one user.
    """
    return _plan(name, [change], batch=False, idempotent=idempotent_request(key, _single))[0]


@blueprint.post("/flags/<flag_key>/schedule/bulk")
@blueprint.on_flag(body=BulkCreateScheduleRequest, headers=IdempotencyHeaders)
@blueprint.creates(BulkScheduleResponse)
def create_schedules(
    name: FlagName, body: dict[str, Sequence[PlannedChange]], key: str | None
) -> dict[str, list[EffectiveSchedule]]:
    """Plan up to fifty changes of a flag, all or none.

    If one of them is refused, none is created, and `details` has what is wrong with each, by its index.
    """
    return {"schedules": _plan(name, body["schedules"], batch=True, idempotent=idempotent_request(key, _bulk))}


@blueprint.get("/schedules")
@blueprint.arguments(EnvironmentScheduleListQuery, location="query")
@blueprint.response(HTTPStatus.OK, SchedulePageView)
def list_all_schedules(query: EnvironmentScheduleQuery) -> dict[str, Any]:
    """List the schedules of all flags of an environment by time.

    Those that are pending, unless `status` says otherwise; with a `batchId` and no `status`, all of the batch.
    """
    page = schedules.list_environment_schedules(query, store=store())
    return {"schedules": page.items, "next_cursor": _next_cursor(page.items[-1]) if page.more else None}


@blueprint.get("/flags/<flag_key>/schedule")
@blueprint.on_flag(ScheduleListQuery)
@blueprint.response(HTTPStatus.OK, ScheduleView(many=True), headers=response_headers("Link"))
def list_schedules(name: FlagName, query: ScheduleQuery) -> tuple[Sequence[EffectiveSchedule], int, dict[str, str]]:
    """List the schedules of a flag by time.

    An array; the `Link` header leads to the next page.
    """
    page = schedules.list_schedules(name, query, store=store())
    return page.items, HTTPStatus.OK, {"Link": _next_link(page.items[-1])} if page.more else {}


@blueprint.get("/flags/<flag_key>/schedule/<uuid:schedule_id>")
@blueprint.on_flag()
@blueprint.response(HTTPStatus.OK, ScheduleView)
def read_schedule(name: FlagName, schedule_id: UUID) -> EffectiveSchedule:
    """Read a schedule.

    Also one that was applied, was cancelled or has failed.
    """
    return schedules.read_schedule(name, schedule_id, store=store())


@blueprint.patch("/flags/<flag_key>/schedule/<uuid:schedule_id>")
@blueprint.on_flag(body=EditScheduleRequest)
@blueprint.response(HTTPStatus.OK, ScheduleView)
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
def edit_schedule(name: FlagName, edit: ScheduleEdit, schedule_id: UUID) -> EffectiveSchedule:
    """Change a schedule that is not in effect yet.

    `updates` or `override` replaces what it sets as a whole. Of two schedules at one instant, the one created later is
    applied last.
    """
    return schedules.edit_schedule(name, schedule_id, edit, by=caller(), store=store(), limits=service().limits)


@blueprint.delete("/flags/<flag_key>/schedule/<uuid:schedule_id>")
@blueprint.on_flag()
@blueprint.response(HTTPStatus.OK, ScheduleView)
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
def cancel_schedule(name: FlagName, schedule_id: UUID) -> EffectiveSchedule:
    """Cancel a schedule that is not in effect yet.

    Once it is in effect, or has ended, the answer is 409.
    """
    return schedules.cancel_schedule(name, schedule_id, by=caller(), store=store())


def _plan(
    name: FlagName,
    changes: Sequence[PlannedChange],
    *,
    batch: bool,
    idempotent: IdempotentRequest[list[EffectiveSchedule]] | None,
) -> list[EffectiveSchedule]:
    return schedules.plan_schedules(
        name, changes, batch=batch, by=caller(), store=store(), limits=service().limits, idempotent=idempotent
    )


def _single(created: list[EffectiveSchedule]) -> Any:
    return SINGLE.dump(created[0])


def _bulk(created: list[EffectiveSchedule]) -> Any:
    return BULK.dump({"schedules": created})


def _next_cursor(last: EffectiveSchedule) -> str:
    return cursor(rfc3339(last.schedule.scheduled_at), str(last.flag.id), last.schedule.seq)


def _next_link(last: EffectiveSchedule) -> str:
    place = cursor(rfc3339(last.schedule.scheduled_at), last.schedule.seq)
    # The address of the request with another query, whatever prefix a proxy strips. Source: RFC 3986, section 5.2.
    return f'<?{urlencode(request.args.to_dict() | {"cursor": place})}>; rel="next"'
