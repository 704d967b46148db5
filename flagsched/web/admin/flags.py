"""/api/admin/flags."""

from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from flask import Response

from flagsched.domain.effective import EffectiveFlag
from flagsched.domain.errors import ValidationFailed
from flagsched.domain.flags import DEFAULT_ENVIRONMENT, FlagEdit, FlagName, NewFlag, Precondition
from flagsched.ports.flags import FlagQuery
from flagsched.usecases import flags
from flagsched.web.admin.blueprint import AdminBlueprint
from flagsched.web.caller import caller
from flagsched.web.idempotency import idempotent_request
from flagsched.web.schemas.fields import cursor
from flagsched.web.schemas.flags import (
    CreateFlagRequest,
    EditFlagRequest,
    EditQuery,
    FlagListQuery,
    FlagListView,
    FlagView,
    NewFlagQuery,
)
from flagsched.web.schemas.headers import IdempotencyHeaders, MatchHeaders, etag, response_headers
from flagsched.web.service import store

blueprint = AdminBlueprint("flags", "Create, read, edit and archive flags.")
VIEW = FlagView()


@blueprint.post("/flags")
@blueprint.loads(NewFlagQuery, body=CreateFlagRequest, headers=IdempotencyHeaders)
@blueprint.creates(FlagView, "Location", "ETag")
def create_flag(
    body: dict[str, Any], key: str | None, environment: str | None = None
) -> tuple[EffectiveFlag, int, dict[str, str]]:
    """Create a flag.

    It is off, and for 100 % of the users once it is on, unless the body says otherwise.
    """
    flag = NewFlag(
        FlagName(_one_environment(body.get("environment"), environment), body["key"]),
        enabled=body["enabled"],
        rollout_percentage=body["rollout_percentage"],
        description=body["description"],
    )
    created = flags.create_flag(
        flag, by=caller(), store=store(), idempotent=idempotent_request(key, VIEW.dump, _headers)
    )
    return created, HTTPStatus.CREATED, _headers(created)


@blueprint.get("/flags")
@blueprint.arguments(FlagListQuery, location="query")
@blueprint.response(HTTPStatus.OK, FlagListView)
def list_flags(query: FlagQuery) -> dict[str, Any]:
    """List flags by key.

    `q` is a part of the keys to find.
    """
    page = flags.list_flags(query, store=store())
    return {"flags": page.items, "next_cursor": cursor(page.items[-1].flag.name.key) if page.more else None}


@blueprint.get("/flags/<flag_key>")
@blueprint.on_flag()
@blueprint.response(HTTPStatus.OK, FlagView, headers=response_headers("ETag"))
def read_flag(name: FlagName) -> tuple[EffectiveFlag, int, dict[str, str]]:
    """Read a flag as it is now.

    Whether or not a worker has recorded what is in effect by now.
    """
    flag = flags.read_flag(name, store=store())
    return flag, HTTPStatus.OK, etag(flag)


@blueprint.patch("/flags/<flag_key>")
@blueprint.on_flag(EditQuery, body=EditFlagRequest, headers=MatchHeaders)
@blueprint.response(HTTPStatus.OK, FlagView, headers=response_headers("ETag"))
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
@blueprint.alt_response(HTTPStatus.PRECONDITION_FAILED, "PRECONDITION_FAILED")
def edit_flag(
    name: FlagName, edit: FlagEdit, precondition: Precondition, override: str | None = None
) -> tuple[EffectiveFlag, int, dict[str, str]]:
    """Change a flag at once.

    What is planned stays, and is applied on top of it. Where a hold refuses edits, `override` says why this one is
    made all the same.
    """
    flag = flags.edit_flag(name, edit, by=caller(), store=store(), precondition=precondition, override=override)
    return flag, HTTPStatus.OK, etag(flag)


older = blueprint.doc(summary="Change a flag at once, by the older name of PATCH", deprecated=True)
blueprint.add_url_rule("/flags/<flag_key>", "edit_flag_by_post", older(edit_flag), methods=["POST"])


@blueprint.delete("/flags/<flag_key>")
@blueprint.on_flag(EditQuery, headers=MatchHeaders)
@blueprint.response(HTTPStatus.NO_CONTENT, description="Archived.")
@blueprint.alt_response(HTTPStatus.CONFLICT, "CONFLICT")
@blueprint.alt_response(HTTPStatus.PRECONDITION_FAILED, "PRECONDITION_FAILED")
def archive_flag(name: FlagName, precondition: Precondition, override: str | None = None) -> Response:
    """Archive a flag.

    What is planned for it is cancelled in the same transaction, and its key is free again.
    """
    flags.archive_flag(name, by=caller(), store=store(), precondition=precondition, override=override)
    return Response(status=HTTPStatus.NO_CONTENT)


def _headers(created: EffectiveFlag) -> dict[str, str]:
    name = created.flag.name
    # Relative to the address of the request, of which a proxy may strip a prefix. Source: RFC 3986, section 5.2.
    return {"Location": f"flags/{name.key}?{urlencode({'environment': name.environment})}"} | etag(created)


def _one_environment(in_body: str | None, in_query: str | None) -> str:
    if in_body and in_query and in_body != in_query:
        raise ValidationFailed({"environment": [f"is {in_body!r} in the body, but {in_query!r} in the query"]})
    return in_body or in_query or DEFAULT_ENVIRONMENT
