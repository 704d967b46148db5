"""Errors as they go out."""

from marshmallow import fields

from flagsched.web.schemas.strict import View


class ErrorView(View):
    """What went wrong; `details` mirrors the request, with a list of reasons at each leaf."""

    error = fields.String(metadata={"description": "a stable code"})
    message = fields.String(metadata={"description": "for a person"})
    details = fields.Raw(metadata={"type": ["object", "array", "null"]})
    request_id = fields.String(data_key="requestId")
