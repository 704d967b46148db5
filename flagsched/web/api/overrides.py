"""/api/admin/flags/:flagKey/users."""

from http import HTTPStatus
from typing import Any

from flask import Response

from flagsched.domain.flags import FlagName
from flagsched.domain.overrides import NewOverride, Override
from flagsched.ports import OverrideQuery
from flagsched.usecases import overrides
from flagsched.web.api.blueprint import AdminBlueprint, named
from flagsched.web.context import caller, store
from flagsched.web.once import once
from flagsched.web.schemas.fields import cursor
from flagsched.web.schemas.flags import EnvironmentQuery
from flagsched.web.schemas.headers import OnceHeaders
from flagsched.web.schemas.overrides import OverrideListQuery, OverrideListView, OverrideView, SetOverrideRequest

blueprint = AdminBlueprint("overrides")
VIEW = OverrideView()


@blueprint.post("/flags/<flag_key>/users")
@blueprint.arguments(SetOverrideRequest)
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.arguments(OnceHeaders, location="headers")
@blueprint.response(HTTPStatus.CREATED, OverrideView)
@blueprint.creates
def set_override(asked: NewOverride, query: dict[str, str], key: str | None, flag_key: str) -> Override:
    """Have a flag on, or off, for a user, whatever its percentage."""
    name = named(query, flag_key)
    return overrides.set_override(name, asked, by=caller(), store=store(), once=once(key, VIEW.dump))


@blueprint.get("/flags/<flag_key>/users")
@blueprint.arguments(OverrideListQuery, location="query")
@blueprint.response(HTTPStatus.OK, OverrideListView)
def list_overrides(query: tuple[str, OverrideQuery], flag_key: str) -> dict[str, Any]:
    """List the users of a flag who are set apart."""
    environment, wanted = query
    page = overrides.list_overrides(FlagName.asked(environment, flag_key), wanted, store=store())
    return {"users": page.items, "next_cursor": cursor(page.items[-1].user_id) if page.more else None}


@blueprint.get("/flags/<flag_key>/users/<path:user_id>")
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.response(HTTPStatus.OK, OverrideView)
def read_override(query: dict[str, str], flag_key: str, user_id: str) -> Override:
    """Show how a user is set apart."""
    return overrides.read_override(named(query, flag_key), user_id, store=store())


@blueprint.delete("/flags/<flag_key>/users/<path:user_id>")
@blueprint.arguments(EnvironmentQuery, location="query")
@blueprint.response(HTTPStatus.NO_CONTENT)
def remove_override(query: dict[str, str], flag_key: str, user_id: str) -> Response:
    """Treat a user like all others again."""
    overrides.remove_override(named(query, flag_key), user_id, by=caller(), store=store())
    return Response(status=HTTPStatus.NO_CONTENT)
