"""Freezes: stretches of time in which nothing planned takes effect in an environment, and nothing is edited by hand."""

from datetime import datetime

from flask import Response

from flagsched.domain.holds import HoldStatus, NewHold
from flagsched.domain.schedules import Status
from flagsched.ports.holds import HoldQuery
from flagsched.ports.schedules import EnvironmentScheduleQuery
from flagsched.usecases.holds import hold_environment, list_holds
from flagsched.usecases.schedules import list_environment_schedules
from flagsched.web.caller import caller
from flagsched.web.console.blueprint import ConsoleBlueprint
from flagsched.web.console.forms import REASON_NEEDED, Form, load
from flagsched.web.console.pages import environment, page, redirect, time
from flagsched.web.roles import Role
from flagsched.web.schemas.holds import HoldRequest
from flagsched.web.service import store

SHOWN = 200
DEFERRED = 50
blueprint = ConsoleBlueprint("console_freezes")


@blueprint.get("/freezes")
def show_freezes() -> Response:
    """Freezes and holds of an environment: in force, planned and past."""
    found = list_holds(HoldQuery(environment(), limit=SHOWN), store=store()).items
    by_status = {
        status: [one for one in found if one.status is status]
        for status in (HoldStatus.ACTIVE, HoldStatus.UPCOMING, HoldStatus.OVER)
    }
    return page("freezes.html", by_status=by_status)


@blueprint.form("/new-freeze", role=Role.OPERATOR)
def new_freeze() -> Response:
    """A freeze, with what it would defer listed first."""
    form = Form({"zone": time().zone_name, "refuse": "on", "then": "catchUp"})
    with form.refusals():
        asked = _asked(form) if form.sent else None
        if asked and form["step"] == "place":
            hold_environment(environment(), asked, by=caller(), store=store())
            return redirect("freezes", environment=environment())
    looked = asked if form.sent and form.error is None else None
    deferred = _deferred(looked.starts_at, looked.ends_at) if looked else None
    return page("new_freeze.html", form.status, form=form, asked=looked, deferred=deferred, reason_needed=REASON_NEEDED)


def _asked(form: Form) -> NewHold:
    body = {
        "reason": form["reason"],
        "then": form["then"],
        "refuseEdits": form.checked("refuse"),
        **form.rfc3339("from", time()),
        **form.rfc3339("until", time()),
    }
    asked: NewHold = load(HoldRequest, body)
    return asked


def _deferred(start: datetime | None, end: datetime | None) -> object:
    query = EnvironmentScheduleQuery(
        environment(), [Status.PENDING], start=start or time().now, end=end, limit=DEFERRED
    )
    return list_environment_schedules(query, store=store())
