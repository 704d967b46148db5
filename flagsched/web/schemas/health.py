"""How a process is."""

from marshmallow import fields

from flagsched.web.schemas.strict import View


class StatusView(View):
    """`ok` or `ready`; if it is neither, an error says why."""

    status = fields.String()
