"""Headers that say under which condition, and how often, a request may have its effect."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load

from flagsched.domain.flags import AS_IT_IS, Expected
from flagsched.domain.timeline import EffectiveFlag
from flagsched.web.freshness import CODINGS
from flagsched.web.schemas.fields import Name

# RFC 9110, section 8.8.3.
ETAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# Empty elements of a list mean nothing, section 5.6.1.
ETAGS = re.compile(rf"[ \t,]*{ETAG}(?:[ \t]*,[ \t,]*{ETAG})*[ \t,]*")
# Section 13.1.1 has no weak tag match, since it may stand for other bytes. Ours name versions, and proxies change them
# when they compress an answer: nginx makes the tag weak, others append the coding. The version is the same.
VERSION = re.compile(
    rf'"([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})\.([0-9]{{1,18}})(?:-(?:{"|".join(CODINGS)}))?"'
)
KEY = re.compile(r"[\x21-\x7e]{1,255}")
DESCRIBED = {"ETag": {"description": "for If-Match", "schema": {"type": "string"}}}


def etag(flag: EffectiveFlag) -> dict[str, str]:
    """The ETag of a flag as it is: its id, which a key's next flag has not, and its version."""
    return {"ETag": f'"{flag.flag.id}.{flag.state.version}"'}


class Versions(fields.String):
    """The value of If-Match. Source: RFC 9110, section 13.1.1."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **options: Any) -> Any:
        if value.strip() == "*":
            return AS_IT_IS
        if ETAGS.fullmatch(value) is None:
            raise ValidationError("must be '*' or the ETag of a flag, with its double quotes")
        return Expected({(UUID(flag_id), int(version)) for flag_id, version in VERSION.findall(value)})


class MatchHeaders(Schema):
    """Which versions a change is made for."""

    class Meta:
        unknown = EXCLUDE

    expected = Versions(data_key="If-Match", load_default=AS_IT_IS)

    @post_load
    def _expected(self, data: dict[str, Any], **options: object) -> Expected:
        expected: Expected = data["expected"]
        return expected


class OnceHeaders(Schema):
    """A name for the request, so that it has effect once however often it is sent."""

    class Meta:
        unknown = EXCLUDE

    key = Name(KEY, "must be 1 to 255 visible ASCII characters", data_key="Idempotency-Key")

    @post_load
    def _key(self, data: dict[str, Any], **options: object) -> str | None:
        return data.get("key")
