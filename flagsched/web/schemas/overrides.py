"""Overrides in requests and responses."""

from typing import Any

from marshmallow import fields, post_load, validate

from flagsched.domain.overrides import MAX_REASON, USER_ID, NewOverride, OverrideType
from flagsched.ports.overrides import OverrideQuery
from flagsched.web.schemas.fields import ERROR_MESSAGES, Cursor, Instant, Limit, Name, OneOf, Text
from flagsched.web.schemas.flags import EnvironmentQuery
from flagsched.web.schemas.strict import Body, View

USER_MESSAGE = "must be 1 to 256 printable characters, not beginning with '/', and not '.' or '..'"
KINDS = [kind.value for kind in OverrideType]


class SetOverrideRequest(Body):
    """A user, and whether the flag is to be on or off for this user, whatever its percentage."""

    user_id = Name(USER_ID, USER_MESSAGE, data_key="userId", required=True)
    kind = fields.String(
        data_key="override",
        required=True,
        validate=validate.OneOf(KINDS, error="must be one of: {choices}"),
        error_messages=ERROR_MESSAGES | {"invalid": "must be a string"},
    )
    reason = Text(max_length=MAX_REASON, load_default="")

    @post_load
    def _override(self, data: dict[str, Any], **options: object) -> NewOverride:
        return NewOverride(data["user_id"], OverrideType(data["kind"]), data["reason"])


def _user(position: list[Any]) -> str:
    (user_id,) = position
    if not USER_ID.fullmatch(user_id):
        raise ValueError(user_id)
    return str(user_id)


class OverrideListQuery(EnvironmentQuery):
    """A page of a flag's overrides."""

    after = Cursor(_user, data_key="cursor")
    limit = Limit(default=50, maximum=500)

    @post_load
    def _query(self, data: dict[str, Any], **options: object) -> dict[str, Any]:
        return {"environment": data.pop("environment"), "query": OverrideQuery(**data)}


class OverrideView(View):
    """A user for whom the flag is on (`include`) or off (`exclude`), whatever its percentage."""

    user_id = fields.String(data_key="userId")
    override = OneOf(OverrideType, attribute="kind")
    reason = fields.String()
    created_by = fields.String(data_key="createdBy")
    created_at = Instant(data_key="createdAt")


class OverrideListView(View):
    """One page of overrides; `nextCursor` is null on the last."""

    users = fields.List(fields.Nested(OverrideView))
    next_cursor = fields.String(data_key="nextCursor", allow_none=True)
