"""Plan something: steps or a ramp over flags and environments, a window, or rows of changes; all or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from typing import Any

from flask import Response, request

from flagsched.domain.errors import ValidationFailed
from flagsched.domain.flags import DEFAULT_ENVIRONMENT, FlagName
from flagsched.domain.plans import NewPlan
from flagsched.domain.segments import Segment
from flagsched.usecases.plans import create_plan, preview_plan
from flagsched.usecases.timeline import Preview
from flagsched.web.caller import caller
from flagsched.web.console.axis import HEIGHT, Bar
from flagsched.web.console.blueprint import ConsoleBlueprint
from flagsched.web.console.forms import Form, load, number
from flagsched.web.console.lengths import UNITS, length_of
from flagsched.web.console.pages import environment, environments, page, redirect, time
from flagsched.web.console.plans import axis_over
from flagsched.web.console.texts import reasons
from flagsched.web.roles import Role
from flagsched.web.schemas.plans import CreatePlanRequest
from flagsched.web.service import service, store

ROWS = 12
"""How many rows of steps, and of single changes, a form has before a script adds more."""
MAX_ROWS = 60
MAX_CHOICES = 500
"""How many flags there are to choose from; the keys of others are typed."""
SHAPES = {"steps": "Steps", "ramp": "A ramp", "window": "A window", "changes": "Single changes"}
blueprint = ConsoleBlueprint("console_builder")


@dataclass(slots=True)
class Built:
    """A body for the API, and which row of the form each of its items is from."""

    body: dict[str, Any]
    rows: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def reasons_of(self, details: Any) -> dict[str, dict[int, list[str]]]:
        """The reasons in the details of an error, by list and row of the form."""
        found: dict[str, dict[int, list[str]]] = {}
        if not isinstance(details, Mapping):
            return found
        for name, rows in self.rows.items():
            below = details.get(name)
            if isinstance(below, Mapping):
                found[name] = {rows[i]: reasons(why) for i, why in below.items() if isinstance(i, int)}
        return found


@blueprint.form("/new-plan")
def new_plan() -> Response:
    """The builder; its button submits all of it at once."""
    form = Form(_defaults())
    built = _built(form)
    with form.refusals():
        if form.sent:
            asked: NewPlan = load(CreatePlanRequest, built.body)
            created = create_plan(asked, by=caller(), store=store(), limits=service().limits)
            return redirect(f"plans/{created.plan.plan.id}")
    return _page("new_plan.html", form, built)


@blueprint.post("/new-plan/preview", role=Role.VIEWER)
def preview() -> Response:
    """What the plan in the form would do; nothing is stored."""
    form = Form(_defaults())
    built = _built(form)
    previews: Mapping[FlagName, Preview] = {}
    with form.refusals():
        previews = preview_plan(load(CreatePlanRequest, built.body), store=store(), limits=service().limits)
    # The part of a page that shows what is wrong is itself no failure.
    return _page("plan_preview.html", form, built, HTTPStatus.OK, **_drawn(previews))


def _defaults() -> dict[str, str]:
    """An empty form: for the flag and the environment that the query names, beginning now."""
    return {
        "shape": request.args.get("shape", "steps"),
        "starts": "now",
        "zone": time().zone_name,
        "flag": request.args.get("flag", "")[:100],
        "environment": environment(),
        "enabled_0": "on",
        "ramp_from": "0",
        "ramp_to": "100",
        "ramp_steps": "5",
        "ramp_number": "1",
        "ramp_unit": "d",
        "ramp_on": "on",
        "window_percentage": "100",
    }


def _built(form: Form) -> Built:
    texts = {name: form[name].strip() for name in ("title", "description") if form[name].strip()}
    match form["shape"]:
        case "changes":
            built = _changes(form)
        case "window":
            built = _window(form)
        case shape:
            built = _product(form, ramped=shape == "ramp")
    built.body = {**texts, **built.body}
    return built


def flags_of(form: Form) -> list[str]:
    """The flags that are chosen, and those that are typed."""
    if not form.sent:
        return [form["flag"]] if form["flag"] else []
    return [*form.all("flag"), *form["more_flags"].replace(",", " ").split()]


def environments_of(form: Form) -> list[str]:
    """The environments that are chosen."""
    return form.all("environment") if form.sent else [form["environment"]]


def _product(form: Form, *, ramped: bool) -> Built:
    chosen = _environments(form)
    if ramped:
        return Built({"flags": flags_of(form), **chosen.body, **_start(form), "ramp": _ramp(form)}, chosen.rows)
    filled = [row for row in range(MAX_ROWS) if form[f"enabled_{row}"] or form[f"percentage_{row}"].strip()]
    steps = [
        {"updates": form.updates(suffix=f"_{row}"), **_after(form, row, is_first=row == filled[0])} for row in filled
    ]
    body = {"flags": flags_of(form), **chosen.body, **_start(form), "steps": steps}
    return Built(body, {**chosen.rows, "steps": filled})


def _ramp(form: Form) -> dict[str, object]:
    return {
        "from": number(form["ramp_from"]),
        "to": number(form["ramp_to"]),
        "steps": number(form["ramp_steps"]),
        "every": length_of(form["ramp_number"], form["ramp_unit"]),
        **({"curve": "exponential"} if form.checked("ramp_exponential") else {}),
        **({"enabled": True} if form.checked("ramp_on") else {}),
    }


def _environments(form: Form) -> Built:
    names, chosen = environments(), environments_of(form)
    rows = [i for i, name in enumerate(names) if name in chosen]
    asked = [
        {"name": names[i], **({"offset": length_of(later, form[f"unit_of_{i}"])} if later else {})}
        for i in rows
        for later in [form[f"later_{i}"].strip()]
    ]
    return Built({"environments": asked}, {"environments": rows})


def _start(form: Form) -> dict[str, str]:
    if form["starts"] == "now":
        return {"timeZone": form.zone(time())}  # Its days are local days.
    return form.local_moment("at", time())


def _after(form: Form, row: int, *, is_first: bool) -> dict[str, str]:
    typed = form[f"after_{row}"].strip()
    return {} if is_first or not typed else {"after": length_of(typed, form[f"unit_{row}"])}


def _window(form: Form) -> Built:
    """On at the first instant, off at the second, for each flag in each environment that is chosen."""
    opens = {"enabled": True, "rolloutPercentage": number(form["window_percentage"])}
    sides = (("opens", opens), ("closes", {"enabled": False}))
    changes = [
        {
            "flagKey": key,
            "environment": name,
            **form.local_moment(side, time()),
            "updates": updates,
        }
        for key in flags_of(form)
        for name in environments_of(form)
        for side, updates in sides
    ]
    return Built({"changes": changes}, {})


def _changes(form: Form) -> Built:
    filled = [row for row in range(MAX_ROWS) if form[f"change_flag_{row}"].strip() or form[f"change_at_{row}"].strip()]
    changes = [
        {
            "flagKey": form[f"change_flag_{row}"].strip(),
            "environment": form[f"change_environment_{row}"] or DEFAULT_ENVIRONMENT,
            **form.local_moment(f"change_at_{row}", time()),
            "updates": form.updates("change_", f"_{row}"),
        }
        for row in filled
    ]
    return Built({"changes": changes}, {"changes": filled})


def _drawn(previews: Mapping[FlagName, Preview]) -> dict[str, object]:
    starts = [segment.start for preview in previews.values() for segment in preview.segments]
    axis = axis_over(min(starts, default=time().now), max(starts, default=time().now))
    return {
        "axis": axis,
        "previews": [(name, preview, _bars(preview.segments, axis)) for name, preview in previews.items()],
        "clock_changes": axis.time.clock_changes(axis.start, axis.end),
    }


def _bars(segments: Sequence[Segment], axis: Any) -> list[Bar]:
    return [bar for segment in segments for bar in axis.bars(segment)]


def _page(template: str, form: Form, built: Built, status: HTTPStatus | None = None, **values: Any) -> Response:
    known = _known_flags()
    details = form.error.details if isinstance(form.error, ValidationFailed) else None
    return page(
        template,
        form.status if status is None else status,
        form=form,
        row_reasons=built.reasons_of(details),
        flags=dict(islice(known.items(), MAX_CHOICES)),
        more_flags=len(known) > MAX_CHOICES,
        chosen=flags_of(form),
        chosen_environments=environments_of(form),
        shapes=SHAPES,
        units=UNITS,
        row_count=_row_count(form),
        height=HEIGHT,
        **values,
    )


def _row_count(form: Form) -> int:
    typed = form["rows"]
    return min(max(int(typed), ROWS), MAX_ROWS) if typed.isascii() and typed.isdigit() and len(typed) < 3 else ROWS


def _known_flags() -> dict[str, list[str]]:
    """All flag keys, each with the environments that have it, from memory."""
    known: dict[str, list[str]] = {}
    for name in environments():
        for key in service().refresher.effective(name).flags:
            known.setdefault(key, []).append(name)
    return dict(sorted(known.items()))
