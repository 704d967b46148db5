"""Headers: If-Match and Idempotency-Key of requests, and those of responses as the OpenAPI document has them."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load

from flagsched.domain.effective import EffectiveFlag
from flagsched.domain.flags import ANY_VERSION, Precondition
from flagsched.domain.plans import Plan
from flagsched.web.schemas.fields import Name

CODINGS = ("gzip", "deflate", "br", "zstd")
"""The suffixes that proxies add to an ETag when they compress the response: `"x"` becomes `"x-gzip"`."""
# RFC 9110, section 8.8.3.
ETAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# A list may have empty elements, section 5.6.1.
ETAGS = re.compile(rf"[ \t,]*{ETAG}(?:[ \t]*,[ \t,]*{ETAG})*[ \t,]*")
# In section 13.1.1 no weak tag matches, since the bytes may differ. Ours names a flag's version, which stays the same
# when a proxy compresses the response and makes the tag weak (nginx) or appends the coding (others).
VERSION = re.compile(
    rf'"([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})\.([0-9]{{1,18}})(?:-(?:{"|".join(CODINGS)}))?"'
)
KEY = re.compile(r"[\x21-\x7e]{1,255}")
OPAQUE_TAG = {"type": "string", "pattern": r'^(W/)?"[^"]+"$'}
SECONDS = {"type": "integer", "minimum": 0}
# The headers of responses, by the names of the document's components.
DESCRIBED: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "The request's own X-Request-Id if that is a plain one, else a new one. It stands in the log "
        "and in the history of what the request changed.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "ETag": {
        "description": "The version of the answer, for If-Match (flags, plans) or If-None-Match (evaluation).",
        "required": True,
        "schema": OPAQUE_TAG,
    },
    "Location": {
        "description": "Where what was created is.",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Link": {
        "description": 'The next page, with `rel="next"`. The last page has no such header.',
        "schema": {"type": "string"},
    },
    "Cache-Control": {
        "description": "How long the answer may be kept: never past the next planned change.",
        "required": True,
        "schema": {"type": "string", "pattern": "^private, max-age=[01]$"},
    },
    "Flagsched-Snapshot-Age": {
        "description": "How many seconds ago the flags could be read last. Sent only while the database is away.",
        "schema": SECONDS,
    },
    "Idempotency-Replayed": {
        "description": "`true` if this is the answer to an earlier request with the same Idempotency-Key.",
        "schema": {"type": "string", "const": "true"},
    },
    "Retry-After": {
        "description": "After how many seconds to send the request again.",
        "required": True,
        "schema": SECONDS,
    },
    "Vary": {
        "description": "The headers of the request that the answer depends on.",
        "required": True,
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {
        "description": "A bearer token is needed; what is wrong with the one that was sent (RFC 6750, section 3).",
        "required": True,
        "schema": {"type": "string"},
    },
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag of an answer that the caller has: 304 if it would be the same again.",
    "schema": {"type": "string"},
}


def response_headers(*names: str) -> dict[str, str]:
    """The headers of a response, by reference to the document's components."""
    return {name: name for name in names}


def etag(flag: EffectiveFlag) -> dict[str, str]:
    """The ETag of a flag: its id, since a key can be used again, and its version."""
    return {"ETag": f'"{flag.flag.id}.{flag.state.version}"'}


def etag_of_plan(plan: Plan) -> dict[str, str]:
    """The ETag of a plan: its id and its version."""
    return {"ETag": f'"{plan.id}.{plan.version}"'}


class Versions(fields.String):
    """The value of If-Match. Source: RFC 9110, section 13.1.1."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        if value.strip() == "*":
            return ANY_VERSION
        if ETAGS.fullmatch(value) is None:
            raise ValidationError("must be '*' or the ETag of what is changed, with its double quotes")
        return Precondition({(UUID(flag_id), int(version)) for flag_id, version in VERSION.findall(value)})


def if_match() -> Versions:
    """The versions to which a change applies."""
    described = "The ETag that the caller saw last, several, or `*`: 412 in other versions."
    return Versions(data_key="If-Match", metadata={"description": described})


def idempotency_key() -> Name:
    """A name for the request."""
    return Name(
        KEY,
        "must be 1 to 255 visible ASCII characters",
        data_key="Idempotency-Key",
        description="A name for the request, best a UUID: sent again within 24 hours, it has effect only once.",
    )


class MatchHeaders(Schema):
    """The versions of a flag or plan to which a change applies."""

    class Meta:
        unknown = EXCLUDE

    precondition = if_match()

    @post_load
    def _precondition(self, data: dict[str, Any], **options: object) -> Precondition:
        precondition: Precondition = data.get("precondition", ANY_VERSION)
        return precondition


class IdempotentMatchHeaders(Schema):
    """The versions to which a change applies, and a name for the request."""

    class Meta:
        unknown = EXCLUDE

    precondition = if_match()
    key = idempotency_key()

    @post_load
    def _conditions(self, data: dict[str, Any], **options: object) -> tuple[Precondition, str | None]:
        return data.get("precondition", ANY_VERSION), data.get("key")


class IdempotencyHeaders(Schema):
    """A name for the request, so that it has effect once however often it is sent."""

    class Meta:
        unknown = EXCLUDE

    key = idempotency_key()

    @post_load
    def _key(self, data: dict[str, Any], **options: object) -> str | None:
        return data.get("key")
