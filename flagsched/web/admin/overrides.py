"""/api/admin/flags/:flagKey/users."""

from http import HTTPStatus
from typing import Any

from flask import Response

from flagsched.domain.flags import FlagName
from flagsched.domain.overrides import NewOverride, Override
from flagsched.ports.overrides import OverrideQuery
from flagsched.usecases import overrides
from flagsched.web.admin.blueprint import AdminBlueprint
from flagsched.web.caller import caller
from flagsched.web.idempotency import idempotent_request
from flagsched.web.schemas.fields import cursor
from flagsched.web.schemas.flags import EditQuery
from flagsched.web.schemas.headers import IdempotencyHeaders
from flagsched.web.schemas.overrides import OverrideListQuery, OverrideListView, OverrideView, SetOverrideRequest
from flagsched.web.service import store

blueprint = AdminBlueprint("overrides", "Users for whom a flag is on or off, whatever its percentage.")
VIEW = OverrideView()


@blueprint.post("/flags/<flag_key>/users")
@blueprint.on_flag(EditQuery, body=SetOverrideRequest, headers=IdempotencyHeaders)
@blueprint.creates(OverrideView)
def set_override(name: FlagName, asked: NewOverride, key: str | None, override: str | None = None) -> Override:
    """Set the override of a user.

    It takes the place of an earlier one of the same user. While the flag is off, it is off for all.
    """
    idempotent = idempotent_request(key, VIEW.dump)
    return overrides.set_override(name, asked, by=caller(), store=store(), idempotent=idempotent, override=override)


@blueprint.get("/flags/<flag_key>/users")
@blueprint.on_flag(OverrideListQuery)
@blueprint.response(HTTPStatus.OK, OverrideListView)
def list_overrides(name: FlagName, query: OverrideQuery) -> dict[str, Any]:
    """List the overrides of a flag by user.

    The users for whom it is on or off, whatever its percentage.
    """
    page = overrides.list_overrides(name, query, store=store())
    return {"users": page.items, "next_cursor": cursor(page.items[-1].user_id) if page.more else None}


@blueprint.get("/flags/<flag_key>/users/<path:user_id>")
@blueprint.on_flag()
@blueprint.response(HTTPStatus.OK, OverrideView)
def read_override(name: FlagName, user_id: str) -> Override:
    """Read the override of a user.

    A user without one is 404.
    """
    return overrides.read_override(name, user_id, store=store())


@blueprint.delete("/flags/<flag_key>/users/<path:user_id>")
@blueprint.on_flag(EditQuery)
@blueprint.response(HTTPStatus.NO_CONTENT, description="Removed.")
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
def remove_override(name: FlagName, user_id: str, override: str | None = None) -> Response:
    """Remove the override of a user.

    From then on the flag's percentage decides for this user too.
    """
    overrides.remove_override(name, user_id, by=caller(), store=store(), override=override)
    return Response(status=HTTPStatus.NO_CONTENT)
