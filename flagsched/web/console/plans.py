"""Plans: how far each has come, its flags on one axis; move, hold, end and undo it."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Response, request

from flagsched.domain.errors import ChangedSince
from flagsched.domain.holds import HoldStatus, Release
from flagsched.domain.plans import EffectivePlan, PlanStatus
from flagsched.ports.plans import PlanQuery
from flagsched.usecases import holds, plans, undo
from flagsched.usecases.timeline import read_timelines
from flagsched.web.caller import caller
from flagsched.web.console.axis import HEIGHT, Axis
from flagsched.web.console.blueprint import ConsoleBlueprint
from flagsched.web.console.forms import REASON_NEEDED, Form, load
from flagsched.web.console.lengths import length_of
from flagsched.web.console.pages import page, redirect, time
from flagsched.web.roles import Role
from flagsched.web.schemas.holds import HoldRequest
from flagsched.web.schemas.plans import EditPlanRequest, PlanListQuery, plan_cursor
from flagsched.web.service import service, store

MARGIN = 0.06
"""How much room an axis has before and after what it shows, as a part of that."""
SHORTEST = timedelta(minutes=10)
blueprint = ConsoleBlueprint("console_plans")


@blueprint.get("/plans")
def list_plans() -> Response:
    """Plans, newest first."""
    filters = {name: request.args.get(name, "").strip() for name in ("q", "status")}
    asked = {name: value for name, value in {**filters, "cursor": request.args.get("cursor", "")}.items() if value}
    loaded = load(PlanListQuery, asked)
    query: PlanQuery = loaded["query"]
    found = plans.list_plans(query, loaded["status"], store=store())
    return page(
        "plans.html",
        plans=found.items,
        statuses=list(PlanStatus),
        filters=filters,
        following=found.next_before and plan_cursor(*found.next_before),
    )


@blueprint.get("/plans/<uuid:plan_id>")
def show_plan(plan_id: UUID) -> Response:
    """A plan's page."""
    return page("plan.html", **_shown(plans.read_plan(plan_id, store=store())))


@blueprint.get("/plans/<uuid:plan_id>/now")
def show_plan_now(plan_id: UUID) -> Response:
    """What of a plan's page changes by itself."""
    return page("plan_now.html", **_shown(plans.read_plan(plan_id, store=store())))


@blueprint.form("/plans/<uuid:plan_id>/shift")
def shift_plan(plan_id: UUID) -> Response:
    """Move all of a plan that is not in effect."""
    plan = plans.read_plan(plan_id, store=store())
    form = Form({"number": "1", "unit": "h", "direction": "later", "version": str(plan.plan.version)})
    with form.refusals():
        if form.sent:
            sign = "-" if form["direction"] == "earlier" else ""
            edit = load(EditPlanRequest, {"shift": sign + length_of(form["number"], form["unit"]), **form.fold})
            plans.edit_plan(
                plan_id,
                edit,
                by=caller(),
                store=store(),
                limits=service().limits,
                precondition=form.version_of(plan_id),
            )
            return redirect(f"plans/{plan_id}")
    return page("shift_plan.html", form.status, form=form, plan=plan)


@blueprint.form("/plans/<uuid:plan_id>/end")
def end_plan(plan_id: UUID) -> Response:
    """Cancel the rest of a plan."""
    plan = plans.read_plan(plan_id, store=store())
    form = Form({"version": str(plan.plan.version)})
    with form.refusals():
        if form.sent:
            plans.end_plan(plan_id, by=caller(), store=store(), precondition=form.version_of(plan_id))
            return redirect(f"plans/{plan_id}")
    return page("end_plan.html", form.status, form=form, plan=plan)


@blueprint.form("/plans/<uuid:plan_id>/hold", role=Role.OPERATOR)
def hold_plan(plan_id: UUID) -> Response:
    """Hold all flags that something of a plan is ahead for."""
    plan = plans.read_plan(plan_id, store=store())
    form = Form({"reason": f"stopped by {caller().name}"})
    with form.refusals():
        if form.sent:
            asked = load(HoldRequest, {"reason": form["reason"], **form.rfc3339("until", time())})
            holds.hold_plan(plan_id, asked, by=caller(), store=store())
            return redirect(f"plans/{plan_id}")
    return page("hold_plan.html", form.status, form=form, plan=plan, reason_needed=REASON_NEEDED)


@blueprint.form("/plans/<uuid:plan_id>/release", role=Role.OPERATOR)
def release_plan(plan_id: UUID) -> Response:
    """Let a held plan go on."""
    plan = plans.read_plan(plan_id, store=store())
    form = Form({"then": Release.SHIFT.value})
    with form.refusals():
        if form.sent:
            how = Release(form["then"]) if form["then"] in set(Release) else None
            holds.release_plan(plan_id, how, by=caller(), store=store())
            return redirect(f"plans/{plan_id}")
    return page("release_plan.html", form.status, form=form, plan=plan)


@blueprint.form("/plans/<uuid:plan_id>/undo")
def undo_plan(plan_id: UUID) -> Response:
    """End a plan, and set its flags back to what they were before."""
    plan = plans.read_plan(plan_id, store=store())
    form = Form()
    with form.refusals():
        if form.sent:
            undo.undo_plan(
                plan_id,
                force=form.checked("force"),
                by=caller(),
                store=store(),
                override=form["override"] or None,
            )
            return redirect(f"plans/{plan_id}")
    conflicts = form.error.details if isinstance(form.error, ChangedSince) else {}
    return page("undo_plan.html", form.status, form=form, plan=plan, conflicts=conflicts)


def _shown(plan: EffectivePlan) -> dict[str, Any]:
    instants = [one.takes_effect_at or one.schedule.scheduled_at for one in plan.schedules]
    axis = axis_over(min(instants, default=time().now), max(instants, default=time().now))
    timelines = read_timelines({one.flag.id for one in plan.schedules}, axis.start, axis.end, store=store())
    held = [
        hold
        for timeline in timelines
        for hold in timeline.flag.holds
        if hold.plan_id == plan.plan.id and hold.status_at(time().now) is HoldStatus.ACTIVE
    ]
    return {
        "plan": plan,
        "axis": axis,
        "height": HEIGHT,
        "rows": [(one.flag, axis.chart(one.timeline)) for one in timelines],
        "held": held,
    }


def axis_over(first: datetime, last: datetime) -> Axis:
    """An axis that shows two instants, with some room around them."""
    length = max(last - first, SHORTEST)
    return Axis(first - length * MARGIN, last + length * MARGIN, time())
