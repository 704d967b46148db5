"""A flag: what it is and why, its timeline, what is planned and what happened; and each way to change it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Response

from flagsched.domain.errors import ChangedSince
from flagsched.domain.flags import FlagName
from flagsched.domain.history import StoredEntry
from flagsched.domain.holds import HoldStatus, Release
from flagsched.domain.schedules import Status
from flagsched.domain.updates import Updates
from flagsched.ports.history import HistoryQuery
from flagsched.ports.holds import HoldQuery
from flagsched.ports.overrides import OverrideQuery
from flagsched.ports.schedules import ScheduleQuery
from flagsched.usecases import flags, holds, overrides, schedules, undo
from flagsched.usecases.history import list_flag_history, read_entry
from flagsched.usecases.plans import find_plans
from flagsched.usecases.timeline import preview_release, read_present, read_timeline
from flagsched.web.caller import caller
from flagsched.web.console.axis import TALL
from flagsched.web.console.blueprint import ConsoleBlueprint
from flagsched.web.console.coming import axis_asked, range_asked
from flagsched.web.console.forms import REASON_NEEDED, Form, load, number
from flagsched.web.console.pages import flag_name, page, redirect, time
from flagsched.web.console.sentences import describe_entry
from flagsched.web.roles import Role
from flagsched.web.schemas.flags import EditFlagRequest
from flagsched.web.schemas.holds import FlagHoldRequest
from flagsched.web.schemas.overrides import SetOverrideRequest
from flagsched.web.schemas.schedules import CreateScheduleRequest, EditScheduleRequest
from flagsched.web.service import service, store

ENTRIES = 20
USERS = 100
OFF = {"enabled": False}
blueprint = ConsoleBlueprint("console_flags")


@dataclass(frozen=True, slots=True)
class Told:
    """An entry of the history as a sentence."""

    entry: StoredEntry
    text: str
    can_be_undone: bool


def tell(entry: StoredEntry) -> Told:
    """An entry as a sentence."""
    return Told(entry, describe_entry(entry, time()), entry.action not in undo.WITHOUT_UNDO)


@blueprint.get("/flags/<flag_key>")
def show_flag(flag_key: str) -> Response:
    """A flag's page."""
    name = flag_name(flag_key)
    form = Form()
    return page("flag.html", form=form, **_shown(name))


@blueprint.get("/flags/<flag_key>/now")
def show_flag_now(flag_key: str) -> Response:
    """What of a flag's page changes by itself."""
    return page("flag_now.html", **_shown(flag_name(flag_key)))


@blueprint.post("/flags/<flag_key>/set")
def set_flag(flag_key: str) -> Response:
    """Set a flag by hand, if it is still in the version that the person has seen."""
    name, form = flag_name(flag_key), Form()
    with form.refusals():
        edit = load(
            EditFlagRequest,
            {"enabled": form["enabled"] == "on", "rolloutPercentage": number(form["percentage"])},
        )
        flag = flags.read_flag(name, store=store())
        seen = form.version_of(flag.flag.id)
        flags.edit_flag(name, edit, by=caller(), store=store(), precondition=seen, override=form["override"] or None)
        return redirect(f"flags/{name.key}", environment=name.environment)
    return page("flag.html", form.status, form=form, **_shown(name))


@blueprint.form("/flags/<flag_key>/stop", role=Role.OPERATOR)
def stop_flag(flag_key: str) -> Response:
    """The red button: off now, and held."""
    name = flag_name(flag_key)
    form = Form({"reason": f"stopped by {caller().name}", "off": "on"})
    with form.refusals():
        if form.sent:
            asked = load(
                FlagHoldRequest,
                {
                    "reason": form["reason"],
                    **form.rfc3339("until", time()),
                    **({"updates": OFF} if form.checked("off") else {}),
                },
            )
            holds.hold_flag(name, asked, by=caller(), store=store())
            return redirect(f"flags/{name.key}", environment=name.environment)
    return page("stop.html", form.status, form=form, reason_needed=REASON_NEEDED, **_planned(name))


@blueprint.form("/holds/<uuid:hold_id>/release", role=Role.OPERATOR)
def release_hold(hold_id: UUID) -> Response:
    """Let it go on: each way shown as the timeline that it gives."""
    form = Form({"then": ""})
    hold = holds.read_hold(hold_id, store=store())
    back = f"flags/{hold.flag_key}" if hold.flag_key else "freezes"
    with form.refusals():
        if form.sent:
            how = Release(form["then"]) if form["then"] in set(Release) else None
            holds.release_hold(hold_id, how, by=caller(), store=store())
            return redirect(back, environment=hold.hold.environment)
        hold.hold.refuse_if_over(time().now)
    name = FlagName(hold.hold.environment, hold.flag_key) if hold.flag_key else None
    ways = preview_release(hold.hold, name, store=store()) if name and form.error is None else {}
    axis = axis_asked()
    charts = [(way, axis.chart(timeline, TALL), timeline.segments) for way, timeline in ways.items()]
    return page(
        "release.html", form.status, form=form, hold=hold, charts=charts, axis=axis, height=TALL, back=back,
        environment=hold.hold.environment,
    )  # fmt: skip


@blueprint.form("/flags/<flag_key>/plan")
def plan_change(flag_key: str) -> Response:
    """Plan one change of a flag."""
    name, form = flag_name(flag_key), Form({"zone": time().zone_name, "enabled": "on"})
    with form.refusals():
        if form.sent:
            change = load(
                CreateScheduleRequest,
                {**form.local_moment("at", time()), "updates": form.updates(), **_condition(form)},
            )
            schedules.plan_schedules(name, [change], batch=False, by=caller(), store=store(), limits=service().limits)
            return redirect(f"flags/{name.key}", environment=name.environment)
    return page("plan_change.html", form.status, form=form, **_planned(name))


@blueprint.form("/flags/<flag_key>/schedules/<uuid:schedule_id>/edit")
def edit_schedule(flag_key: str, schedule_id: UUID) -> Response:
    """Move a schedule, or make it set something else."""
    name = flag_name(flag_key)
    found = schedules.read_schedule(name, schedule_id, store=store())
    planned = found.schedule
    updates = planned.updates
    own = {
        "zone": planned.time_zone or time().zone_name,
        "at": planned.local_time or time().for_input(planned.scheduled_at),
    }
    if isinstance(updates, Updates):
        own |= {
            "enabled": "" if updates.enabled is None else "on" if updates.enabled else "off",
            "percentage": "" if updates.rollout_percentage is None else str(updates.rollout_percentage),
        }
    form = Form(own)
    with form.refusals():
        if form.sent:
            sets = {"updates": form.updates()} if isinstance(updates, Updates) else {}
            edit = load(EditScheduleRequest, {**form.local_moment("at", time()), **sets})
            schedules.edit_schedule(name, schedule_id, edit, by=caller(), store=store(), limits=service().limits)
            return redirect(f"flags/{name.key}", environment=name.environment)
        planned.refuse_unless_pending()
    shown = {"one": found, "sets_updates": isinstance(updates, Updates), "flag_key": name.key}
    return page("edit_schedule.html", form.status, form=form, **shown)


@blueprint.form("/flags/<flag_key>/schedules/<uuid:schedule_id>/cancel")
def cancel_schedule(flag_key: str, schedule_id: UUID) -> Response:
    """Cancel a schedule."""
    name, form = flag_name(flag_key), Form()
    found = schedules.read_schedule(name, schedule_id, store=store())
    with form.refusals():
        if form.sent:
            schedules.cancel_schedule(name, schedule_id, by=caller(), store=store())
            return redirect(f"flags/{name.key}", environment=name.environment)
    return page("cancel_schedule.html", form.status, form=form, one=found, flag_key=name.key)


@blueprint.form("/flags/<flag_key>/archive")
def archive_flag(flag_key: str) -> Response:
    """Archive a flag."""
    name, form = flag_name(flag_key), Form()
    with form.refusals():
        if form.sent:
            flags.archive_flag(name, by=caller(), store=store(), override=form["override"] or None)
            return redirect("history", environment=name.environment, flagKey=name.key)
    return page("archive.html", form.status, form=form, **_planned(name))


@blueprint.form("/flags/<flag_key>/undo/<int:entry_id>")
def undo_entry(flag_key: str, entry_id: int) -> Response:
    """Set back what an entry changed."""
    name, form = flag_name(flag_key), Form()
    entry = read_entry(name, entry_id, store=store())
    with form.refusals():
        if form.sent:
            undo.undo_entry(
                name,
                entry_id,
                force=form.checked("force"),
                by=caller(),
                store=store(),
                override=form["override"] or None,
                limits=service().limits,
            )
            return redirect(f"flags/{name.key}", environment=name.environment)
    conflicts = form.error.details if isinstance(form.error, ChangedSince) else {}
    return page("undo.html", form.status, form=form, told=tell(entry), conflicts=conflicts, flag_key=name.key)


@blueprint.post("/flags/<flag_key>/overrides")
def set_override(flag_key: str) -> Response:
    """Set a user apart."""
    name, form = flag_name(flag_key), Form()
    with form.refusals():
        reason = {"reason": form["why"]} if form["why"] else {}
        asked = load(SetOverrideRequest, {"userId": form["user"].strip(), "override": form["kind"], **reason})
        overrides.set_override(name, asked, by=caller(), store=store(), override=form["override"] or None)
        return redirect(f"flags/{name.key}", environment=name.environment)
    return page("flag.html", form.status, form=form, **_shown(name))


@blueprint.post("/flags/<flag_key>/overrides/remove")
def remove_override(flag_key: str) -> Response:
    """Treat a user like all others again."""
    name, form = flag_name(flag_key), Form()
    with form.refusals():
        overrides.remove_override(name, form["user"], by=caller(), store=store(), override=form["override"] or None)
        return redirect(f"flags/{name.key}", environment=name.environment)
    return page("flag.html", form.status, form=form, **_shown(name))


def _condition(form: Form) -> dict[str, object]:
    return {"onlyIf": {"unedited": True}} if form.checked("unedited") else {}


def _planned(name: FlagName) -> dict[str, Any]:
    """A flag, and what is ahead for it."""
    found = schedules.list_schedules(name, ScheduleQuery([Status.PENDING]), store=store()).items
    return {"flag": flags.read_flag(name, store=store()), "schedules": [one for one in found if one.ahead]}


def _shown(name: FlagName) -> dict[str, Any]:
    """All that the page of a flag shows."""
    planned = _planned(name)
    axis = axis_asked()
    timeline = read_timeline(name, axis.start, axis.end, store=store())
    bearing = holds.list_holds(HoldQuery(), name, store=store()).items
    entries = list_flag_history(name, HistoryQuery(name.environment, limit=ENTRIES), store=store())
    plan_ids = {batch_id for one in planned["schedules"] if (batch_id := one.schedule.batch_id)}
    return {
        **planned,
        **range_asked(),
        "present": read_present(name, store=store()),
        "axis": axis,
        "height": TALL,
        "chart": axis.chart(timeline, TALL),
        "timeline": timeline,
        "plans": find_plans(plan_ids, store=store()),
        "holds": [one for one in bearing if one.status is not HoldStatus.OVER],
        "entries": [tell(entry) for entry in entries.items],
        "more_entries": entries.more,
        "overrides": overrides.list_overrides(name, OverrideQuery(limit=USERS), store=store()),
    }
