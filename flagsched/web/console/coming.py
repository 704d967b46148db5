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
from flagsched.web.console.instants import PersonalTime, keep_zone
from flagsched.web.console.pages import environment, page, redirect, time
from flagsched.web.roles import Role
from flagsched.web.schemas.flags import CreateFlagRequest
from flagsched.web.service import service, store

ROWS = 100
NEXT = 20
blueprint = ConsoleBlueprint("console")


def axis_of(query_time: PersonalTime, default: str = "week") -> tuple[str, Axis]:
    """The range that the query names, around now or `moved` by so many halves of itself."""
    name = request.args.get("range", default)
    name = name if name in RANGES else default
    moved = request.args.get("moved", "0")
    halves = int(moved) if moved.lstrip("-").isdigit() and len(moved) < 5 else 0
    return name, Axis.around_now(name, query_time).moved(halves / 2)


@blueprint.get("/")
def front() -> Response:
    """The first page."""
    name, axis = axis_of(time())
    search = request.args.get("q", "").strip()[:100]
    after = request.args.get("after", "")[:100] or None
    return page("coming.html", **_rows(axis, search, after), **_next(), range=name, search=search, moved=_moved())


@blueprint.get("/rows")
def rows() -> Response:
    """More rows of the axis, or those that are shown once more."""
    name, axis = axis_of(time())
    search = request.args.get("q", "").strip()[:100]
    after = request.args.get("after", "")[:100] or None
    return page("rows.html", **_rows(axis, search, after), range=name, search=search, moved=_moved())


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
    response = page("live.html", seen=seen)
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


def _moved() -> str:
    moved = request.args.get("moved", "")
    return moved if moved.lstrip("-").isdigit() and len(moved) < 5 else ""


def _rows(axis: Axis, search: str, after: str | None) -> dict[str, Any]:
    query = FlagQuery(environment(), search, after, ROWS)
    found = list_timelines(query, axis.start, axis.end, store=store())
    return {
        "axis": axis,
        "height": HEIGHT,
        "rows": [(one.flag, axis.chart(one.timeline)) for one in found.items],
        "after": found.items[-1].flag.flag.name.key if found.more else None,
        "first": after,
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
