"""Errors in responses."""

from marshmallow import fields

from flagsched.web.schemas.strict import View

DETAILS = {
    "description": "mirrors the request, with a list of reasons at each leaf; of `CHANGED_SINCE`, what each "
    "value was made `then`, was `before`, and is `now`; else null",
    "anyOf": [
        {"type": "object", "additionalProperties": True},
        {"type": "array", "items": {"type": "string"}},
        {"type": "null"},
    ],
}


class ErrorView(View):
    """What went wrong."""

    error = fields.String(metadata={"description": "a stable code"})
    message = fields.String(metadata={"description": "for a person"})
    details = fields.Raw(metadata=DETAILS)
    request_id = fields.String(data_key="requestId", metadata={"description": "as in X-Request-Id"})
