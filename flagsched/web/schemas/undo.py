"""Undo in requests."""

from typing import Any

from marshmallow import fields, validate

from flagsched.web.schemas.fields import ERROR_MESSAGES, Boolean
from flagsched.web.schemas.strict import Body

MAX_ENTRY = 2**63 - 1
FORCE = {"description": "set it back also where it was changed since"}


class UndoPlanRequest(Body):
    """Undo a plan."""

    force = Boolean(load_default=False, metadata=FORCE)


class UndoRequest(UndoPlanRequest):
    """Undo an entry of the flag's history."""

    entry_id: fields.Field[Any] = fields.Integer(
        data_key="entryId",
        strict=True,
        required=True,
        validate=validate.Range(1, MAX_ENTRY, error="must be the number of an entry"),
        error_messages=ERROR_MESSAGES | {"invalid": "must be the number of an entry"},
    )
