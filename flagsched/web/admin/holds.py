"""/api/admin/holds, and those of flags, plans and environments."""

from http import HTTPStatus
from typing import Any, TypeAlias
from uuid import UUID

from flagsched.domain.flags import FlagName
from flagsched.domain.holds import HoldEdit, NewHold, Release
from flagsched.domain.instants import rfc3339
from flagsched.domain.updates import Updates
from flagsched.ports.holds import HoldQuery
from flagsched.usecases import holds
from flagsched.usecases.holds import EffectiveHold
from flagsched.web.admin.blueprint import AdminBlueprint
from flagsched.web.auth import require_role
from flagsched.web.caller import caller
from flagsched.web.idempotency import idempotent_request
from flagsched.web.roles import Role
from flagsched.web.schemas.fields import cursor
from flagsched.web.schemas.headers import IdempotencyHeaders
from flagsched.web.schemas.holds import (
    EditHoldRequest,
    FlagHoldRequest,
    HoldListQuery,
    HoldPageView,
    HoldRequest,
    HoldsView,
    HoldView,
    ReleaseHoldRequest,
)
from flagsched.web.schemas.strict import Query
from flagsched.web.service import store

blueprint = AdminBlueprint("holds", "Stop what is planned for a flag, a plan or an environment, and let it go on.")
VIEW = HoldView()
SEVERAL = HoldsView()
OFF = Updates(enabled=False)
Created: TypeAlias = tuple[EffectiveHold, int, dict[str, str]]


@blueprint.post("/flags/<flag_key>/holds", role=Role.OPERATOR)
@blueprint.on_flag(body=FlagHoldRequest, headers=IdempotencyHeaders)
@blueprint.creates(HoldView, "Location")
def hold_flag(name: FlagName, asked: NewHold, key: str | None) -> Created:
    """Hold a flag: nothing that is planned for it takes effect.

    With `updates` it is edited in the same transaction: off now, and nothing planned turns it on again. An operator's
    may only turn it off.
    """
    if asked.updates not in (None, OFF):
        require_role(Role.ADMIN)
    idempotent = idempotent_request(key, VIEW.dump, _location)
    return _created(holds.hold_flag(name, asked, by=caller(), store=store(), idempotent=idempotent))


@blueprint.post("/environments/<environment>/holds", role=Role.OPERATOR)
@blueprint.loads(Query, body=HoldRequest, headers=IdempotencyHeaders)
@blueprint.creates(HoldView, "Location")
def hold_environment(asked: NewHold, key: str | None, environment: str) -> Created:
    """Hold an environment: nothing that is planned for any of its flags takes effect.

    With `refuseEdits` it is a freeze: edits by hand are refused too.
    """
    idempotent = idempotent_request(key, VIEW.dump, _location)
    return _created(holds.hold_environment(environment, asked, by=caller(), store=store(), idempotent=idempotent))


@blueprint.post("/plans/<uuid:plan_id>/holds", role=Role.OPERATOR)
@blueprint.loads(Query, body=HoldRequest, headers=IdempotencyHeaders)
@blueprint.creates(HoldsView)
def hold_plan(asked: NewHold, key: str | None, plan_id: UUID) -> dict[str, list[EffectiveHold]]:
    """Hold each flag that something of a plan is ahead for.

    One hold for each of them, or none.
    """
    idempotent = idempotent_request(key, _dump)
    return _several(holds.hold_plan(plan_id, asked, by=caller(), store=store(), idempotent=idempotent))


@blueprint.post("/plans/<uuid:plan_id>/release", role=Role.OPERATOR)
@blueprint.loads(Query, body=ReleaseHoldRequest)
@blueprint.response(HTTPStatus.OK, HoldsView)
def release_plan(how: Release | None, plan_id: UUID) -> dict[str, list[EffectiveHold]]:
    """Release all holds that were placed for a plan.

    In one transaction, so that its flags go on together.
    """
    return _several(holds.release_plan(plan_id, how, by=caller(), store=store()))


@blueprint.get("/holds")
@blueprint.loads(HoldListQuery)
@blueprint.response(HTTPStatus.OK, HoldPageView)
@blueprint.alt_response(HTTPStatus.NOT_FOUND, "NOT_FOUND")
def list_holds(query: HoldQuery, flag: FlagName | None) -> dict[str, Any]:
    """List holds by their beginning.

    With a `flagKey`, those of the flag and of its environment.
    """
    page = holds.list_holds(query, flag, store=store())
    return {"holds": page.items, "next_cursor": _next_cursor(page.items[-1]) if page.more else None}


@blueprint.get("/holds/<uuid:hold_id>")
@blueprint.loads(Query)
@blueprint.response(HTTPStatus.OK, HoldView)
def read_hold(hold_id: UUID) -> EffectiveHold:
    """Read a hold.

    Also one that is over.
    """
    return holds.read_hold(hold_id, store=store())


@blueprint.patch("/holds/<uuid:hold_id>", role=Role.OPERATOR)
@blueprint.loads(Query, body=EditHoldRequest)
@blueprint.response(HTTPStatus.OK, HoldView)
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
def edit_hold(edit: HoldEdit, hold_id: UUID) -> EffectiveHold:
    """Change a hold that is not over.

    `until` null has it last until it is released.
    """
    return holds.edit_hold(hold_id, edit, by=caller(), store=store())


@blueprint.post("/holds/<uuid:hold_id>/release", role=Role.OPERATOR)
@blueprint.loads(Query, body=ReleaseHoldRequest)
@blueprint.response(HTTPStatus.OK, HoldView)
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
def release_hold(how: Release | None, hold_id: UUID) -> EffectiveHold:
    """Release a hold: it ends now.

    What was planned for its time catches up, is skipped, or moves with all that follows. A hold that has not begun
    never begins.
    """
    return holds.release_hold(hold_id, how, by=caller(), store=store())


def _created(placed: EffectiveHold) -> Created:
    return placed, HTTPStatus.CREATED, _location(placed)


def _location(placed: EffectiveHold) -> dict[str, str]:
    return {"Location": f"../../holds/{placed.hold.id}"}


def _several(found: list[EffectiveHold]) -> dict[str, list[EffectiveHold]]:
    return {"holds": found}


def _dump(found: list[EffectiveHold]) -> Any:
    return SEVERAL.dump(_several(found))


def _next_cursor(last: EffectiveHold) -> str:
    return cursor(rfc3339(last.hold.starts_at), str(last.hold.id))
