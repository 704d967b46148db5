"""What is coming: all flags of an environment on one axis, and what changes next."""

from http import HTTPStatus
from typing import Any

from flask import Response, request

from flagsched.domain.errors import ValidationFailed
from flagsched.domain.flags import FlagName, NewFlag
from flagsched.domain.holds import HoldStatus
from flagsched.domain.local_times import zone_names
from flagsched.domain.schedules import Status
from flagsched.ports.flags import FlagQuery
from flagsched.ports.holds import HoldQuery
from flagsched.ports.schedules import EnvironmentScheduleQuery
from flagsched.usecases.flags import create_flag
from flagsched.usecases.holds import list_holds
from flagsched.usecases.plans import find_plans
from flagsched.usecases.schedules import list_environment_schedules
from flagsched.usecases.timeline import list_timelines
from flagsched.web.caller import caller
from flagsched.web.console.axis import HEIGHT, RANGES, Axis
from flagsched.web.console.blueprint import ConsoleBlueprint
from flagsched.web.console.forms import Form, load, number
from flagsched.web.console.instants import keep_zone
from flagsched.web.console.pages import environment, page, plain_page, redirect, time
from flagsched.web.roles import Role
from flagsched.web.schemas.flags import CreateFlagRequest
from flagsched.web.service import service, store

ROWS = 100
NEXT = 20
blueprint = ConsoleBlueprint("console")


def range_asked() -> dict[str, Any]:
    """The range that the query names, and by how many halves of itself it is `moved` from around now."""
    name, moved = request.args.get("range", ""), request.args.get("moved", "")
    is_number = moved.lstrip("-").isdigit() and len(moved) < 5
    return {"range": name if name in RANGES else "week", "moved": int(moved) if is_number else 0}


def axis_asked() -> Axis:
    """The axis over that."""
    asked = range_asked()
    return Axis.around_now(asked["range"], time()).moved(asked["moved"] / 2)


@blueprint.get("/")
def front() -> Response:
    """The first page."""
    return page("coming.html", **_rows(), **_next())


@blueprint.get("/rows")
def rows() -> Response:
    """More rows of the axis, or those that are shown once more."""
    return page("rows.html", **_rows())


@blueprint.get("/next")
def next_changes() -> Response:
    """What changes next."""
    return page("next.html", **_next())


@blueprint.get("/live")
def live() -> Response:
    """Has anything changed since `seen`? Answered from memory, so that every open page can ask each two seconds."""
    effective = service().refresher.effective(environment())
    seen = f"{effective.snapshot.revision}-{effective.tag}"
    if request.args.get("seen") == seen:
        return Response(status=HTTPStatus.NO_CONTENT)
    response = plain_page("live.html", HTTPStatus.OK, seen=seen)
    if request.args.get("seen"):
        response.headers["HX-Trigger"] = "changed"
    return response


@blueprint.form("/new-flag")
def new_flag() -> Response:
    """A form for a flag."""
    form = Form({"environment": environment(), "percentage": "100"})
    with form.refusals():
        if form.sent:
            body = load(
                CreateFlagRequest,
                {
                    "key": form["key"].strip(),
                    "environment": form["environment"].strip(),
                    "description": form["description"],
                    "enabled": form.checked("enabled"),
                    "rolloutPercentage": number(form["percentage"]),
                },
            )
            name = FlagName(body["environment"], body["key"])
            asked = NewFlag(name, body["enabled"], body["rollout_percentage"], body["description"])
            create_flag(asked, by=caller(), store=store())
            return redirect(f"flags/{name.key}", environment=name.environment)
    return page("new_flag.html", form.status, form=form)


@blueprint.form("/zone", role=Role.VIEWER)
def choose_zone() -> Response:
    """In which time zone to show and to read times."""
    form = Form({"zone": time().zone_name})
    with form.refusals():
        if form.sent:
            named = form["zone"].strip()
            if named not in zone_names():
                raise ValidationFailed({"zone": ["must be the IANA name of a time zone, like 'Europe/Berlin'"]})
            response = redirect("")
            keep_zone(response, named)
            return response
    return page("zone.html", form.status, form=form, zones=sorted(zone_names()))


@blueprint.get("/<path:unknown>")
def unknown(unknown: str) -> Response:
    """Nothing is here."""
    message = f"There is no page at {unknown[:100]!r}."
    return page("error.html", HTTPStatus.NOT_FOUND, message=message, details=[], hint="Begin at what is coming.")


def _rows() -> dict[str, Any]:
    axis, search = axis_asked(), request.args.get("q", "").strip()[:100]
    first = request.args.get("after", "")[:100] or None
    found = list_timelines(FlagQuery(environment(), search, first, ROWS), axis.start, axis.end, store=store())
    return {
        **range_asked(),
        "axis": axis,
        "height": HEIGHT,
        "rows": [(one.flag, axis.chart(one.timeline)) for one in found.items],
        "search": search,
        "first": first,
        "after": found.items[-1].flag.flag.name.key if found.more else None,
        "again": "again" in request.args,
    }


def _next() -> dict[str, Any]:
    now = time().now
    query = EnvironmentScheduleQuery(environment(), [Status.PENDING], start=now, limit=NEXT)
    found = list_environment_schedules(query, store=store())
    held = EnvironmentScheduleQuery(environment(), [Status.PENDING], end=now, limit=NEXT)
    waiting = [one for one in list_environment_schedules(held, store=store()).items if one.ahead]
    changes = [*waiting, *(one for one in found.items if one.ahead)]
    plans = find_plans({one.schedule.batch_id for one in changes if one.schedule.batch_id}, store=store())
    holds = list_holds(HoldQuery(environment()), store=store())
    freezes = [one for one in holds.items if one.hold.flag_id is None and one.status is not HoldStatus.OVER]
    return {"changes": changes, "more_changes": found.more, "plans": plans, "freezes": freezes}
