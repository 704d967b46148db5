"""The state of the process."""

from marshmallow import fields

from flagsched.web.schemas.strict import View


class StatusView(View):
    """`ok` or `ready`."""

    status = fields.String()


class ReadinessView(StatusView):
    """Whether flags are evaluated from a snapshot while the database is away, and how many seconds old that is."""

    degraded = fields.Boolean()
    age = fields.Integer(data_key="snapshotAgeSeconds")
