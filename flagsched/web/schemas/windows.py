"""Windows of time in queries."""

from datetime import datetime
from typing import Any

from marshmallow import ValidationError, validates_schema

from flagsched.web.schemas.fields import Instant
from flagsched.web.schemas.strict import Query


class Window(Query):
    """From an instant until before another."""

    start = Instant(data_key="from")
    end = Instant(data_key="to")

    @validates_schema
    def _forward(self, data: dict[str, Any], **options: object) -> None:
        start, end = data.get("start"), data.get("end")
        if isinstance(start, datetime) and isinstance(end, datetime) and start >= end:
            raise ValidationError("must be after from", "to")
