"""/api/admin/flags/:flagKey/users."""

from http import HTTPStatus
from typing import Any

from flask import Response

from flagsched.domain.flags import FlagName
from flagsched.domain.overrides import NewOverride, Override
from flagsched.ports.overrides import OverrideQuery
from flagsched.usecases import overrides
from flagsched.web.blueprint import AdminBlueprint, named
from flagsched.web.caller import caller
from flagsched.web.idempotency import idempotent_request
from flagsched.web.schemas.fields import cursor
from flagsched.web.schemas.flags import EnvironmentQuery
from flagsched.web.schemas.headers import IdempotencyHeaders, sent
from flagsched.web.schemas.overrides import OverrideListQuery, OverrideListView, OverrideView, SetOverrideRequest
from flagsched.web.service import store

blueprint = AdminBlueprint("overrides", "Users for whom a flag is on or off, whatever its percentage.")
VIEW = OverrideView()


@blueprint.post("/flags/<flag_key>/users")
@blueprint.arguments(SetOverrideRequest)
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.arguments(IdempotencyHeaders, location="headers")
@blueprint.response(HTTPStatus.CREATED, OverrideView, headers=sent("Idempotency-Replayed"))
@blueprint.creates
def set_override(asked: NewOverride, query: dict[str, str], key: str | None, flag_key: str) -> Override:
    """Set the override of a user.

    It takes the place of an earlier one of the same user. While the flag is off, it is off for all.
    """
    name = named(query, flag_key)
    return overrides.set_override(
        name, asked, by=caller(), store=store(), idempotent=idempotent_request(key, VIEW.dump)
    )


@blueprint.get("/flags/<flag_key>/users")
@blueprint.arguments(OverrideListQuery, location="query")
@blueprint.response(HTTPStatus.OK, OverrideListView)
def list_overrides(query: tuple[str, OverrideQuery], flag_key: str) -> dict[str, Any]:
    """List the overrides of a flag by user.

    The users for whom it is on or off, whatever its percentage.
    """
    environment, wanted = query
    page = overrides.list_overrides(FlagName.asked(environment, flag_key), wanted, store=store())
    return {"users": page.items, "next_cursor": cursor(page.items[-1].user_id) if page.more else None}


@blueprint.get("/flags/<flag_key>/users/<path:user_id>")
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.response(HTTPStatus.OK, OverrideView)
def read_override(query: dict[str, str], flag_key: str, user_id: str) -> Override:
    """Read the override of a user.

    A user without one is 404.
    """
    return overrides.read_override(named(query, flag_key), user_id, store=store())


@blueprint.delete("/flags/<flag_key>/users/<path:user_id>")
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.response(HTTPStatus.NO_CONTENT, description="Removed.")
def remove_override(query: dict[str, str], flag_key: str, user_id: str) -> Response:
    """Remove the override of a user.

    From then on the flag's percentage decides for this user too.
    """
    overrides.remove_override(named(query, flag_key), user_id, by=caller(), store=store())
    return Response(status=HTTPStatus.NO_CONTENT)
