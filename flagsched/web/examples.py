"""Examples of bodies for the OpenAPI document: the rollout of one flag, planned from the current month on."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import date, timedelta
from functools import reduce
from itertools import accumulate
from operator import or_
from typing import Any

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, UnsupportedMediaType

from flagsched.domain.errors import (
    FlagBusy,
    FlagChanged,
    FlagExists,
    FlagMissing,
    FlagschedError,
    Forbidden,
    KeyReused,
    RateLimited,
    Unauthenticated,
    ValidationFailed,
)

KEY = "new-checkout"
BATCH = "5f0c8a52-6a0e-4a2b-8d53-9c1f0e7b2d10"
HOLD = "c7b1e0a4-3f52-4f0e-9a41-2d6f1b8e5c07"
IDS = (
    "0b9f4c1e-6d1c-4f6e-9a3b-2f1f0f6c8a11",
    "1c2d7f90-3b8e-4d0a-b1c5-7e9a4d2f6b22",
    "9e6a1d3c-8f4b-4c7e-a2d6-5b0c3e8f1a33",
)
STEPS: tuple[dict[str, Any], ...] = (
    {"enabled": True, "rolloutPercentage": 5},
    {"rolloutPercentage": 25},
    {"rolloutPercentage": 100},
)
# The fields that the rollout changes.
STATE: dict[str, Any] = {"enabled": False, "rolloutPercentage": 100}
DESCRIPTION = "The checkout with one page"
REQUEST_ID = "4f1c0d9a7b3e4c52a6d80e9b1f2a3c4d"
METHODS = {"get", "post", "put", "patch", "delete"}
NEEDED = "a valid token is needed: Authorization: Bearer <JWT>"
# One error for each response of the document's components.
ERRORS: dict[str, FlagschedError | HTTPException] = {
    "BAD_REQUEST": ValidationFailed({"rolloutPercentage": ["must be an integer from 0 to 100"]}),
    "UNAUTHORIZED": Unauthenticated(NEEDED),
    "FORBIDDEN": Forbidden("this needs a token with the role 'admin' in its claim 'role'"),
    "NOT_FOUND": FlagMissing("production", KEY),
    "CONFLICT": FlagExists("production", KEY),
    "PRECONDITION_FAILED": FlagChanged(KEY, version=2),
    "REQUEST_ENTITY_TOO_LARGE": RequestEntityTooLarge("the body must have at most 262144 bytes"),
    "UNSUPPORTED_MEDIA_TYPE": UnsupportedMediaType("the body must be sent as Content-Type: application/json"),
    "UNPROCESSABLE_ENTITY": KeyReused(BATCH),
    "TOO_MANY_REQUESTS": RateLimited("write", most=600, retry_after=12),
    "SERVICE_UNAVAILABLE": FlagBusy(f"flag {KEY!r} is being changed; try again"),
}


def with_examples(document: dict[str, Any], today: date) -> dict[str, Any]:
    """The document with an example of each body; the instants stay the same for a whole month."""
    filled = deepcopy(document)
    by_schema = examples(today.replace(day=1))
    for name, response in filled["components"]["responses"].items():
        response["content"]["application/json"]["example"] = _error(name)
    for media in _media(filled):
        schema = media["schema"]
        name = (schema.get("$ref") or schema["items"]["$ref"]).rpartition("/")[2]
        media["example"] = by_schema[name] if "$ref" in schema else [by_schema[name]]
    return filled


def _error(name: str) -> dict[str, Any]:
    error = ERRORS[name]
    code, message = (error.code, error.message) if isinstance(error, FlagschedError) else (name, error.description)
    details = error.details if isinstance(error, ValidationFailed) else None
    return {"error": code, "message": message, "details": details, "requestId": REQUEST_ID}


def _media(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each media type of a request or a response."""
    operations = [op for path in document["paths"].values() for method, op in path.items() if method in METHODS]
    responses = [response for operation in operations for response in operation["responses"].values()]
    bodies = [operation["requestBody"] for operation in operations if "requestBody" in operation]
    for one in (*bodies, *responses):
        yield from one.get("content", {}).values()


def examples(month: date) -> dict[str, Any]:
    """An example for each schema of a request or a response, by the schema's name."""
    health = {
        "StatusView": {"status": "ok"},
        "ReadinessView": {"status": "ready", "degraded": False, "snapshotAgeSeconds": 0},
    }
    subjects = (_of_flags, _of_schedules, _of_plans, _of_holds, _of_timelines, _of_overrides, _of_history)
    return reduce(or_, (of_subject(month) for of_subject in subjects), health)


def _of_flags(month: date) -> dict[str, Any]:
    flag = {
        "key": KEY,
        "environment": "production",
        **STATE,
        "description": DESCRIPTION,
        "version": 1,
        "nextChangeAt": None,
        "holds": [],
        "materialized": True,
        "createdAt": f"{month}T08:00:00Z",
        "updatedAt": f"{month}T08:00:00Z",
    }
    return {
        "CreateFlagRequest": {"key": KEY, "enabled": False, "rolloutPercentage": 100, "description": DESCRIPTION},
        "EditFlagRequest": {"enabled": True, "rolloutPercentage": 5},
        "FlagView": flag,
        "FlagListView": {"flags": [flag], "nextCursor": None},
        "FlagValuesView": {KEY: False, "dark-mode": True},
        "EvaluatedFlagView": {"key": KEY, **STATE, "value": False},
    }


def _of_schedules(month: date) -> dict[str, Any]:
    at = [_step_at(month, n).replace("08:00:00Z", "17:00:00+09:00") for n in range(len(STEPS))]
    changes = [{"scheduledAt": instant, "updates": updates} for instant, updates in zip(at, STEPS, strict=True)]
    views = [_schedule(month, n) for n in range(len(STEPS))]
    return {
        "CreateScheduleRequest": changes[0],
        "BulkCreateScheduleRequest": {"schedules": changes},
        "PreviewScheduleRequest": {"schedules": changes},
        "EditScheduleRequest": {"updates": {"enabled": True, "rolloutPercentage": 10}},
        "ScheduleView": views[0],
        "BulkScheduleResponse": {"schedules": views},
        "SchedulePageView": {"schedules": views, "nextCursor": None},
    }


def _step_at(month: date, number: int) -> str:
    """From the first day of the month after next: always in the future, and within the horizon."""
    first = (month + timedelta(days=62)).replace(day=1)
    return f"{first + timedelta(days=number)}T08:00:00Z"


def _schedule(month: date, number: int) -> dict[str, Any]:
    return {
        "id": IDS[number],
        "batchId": BATCH,
        "flagKey": KEY,
        "environment": "production",
        "scheduledAt": _step_at(month, number),
        "localTime": None,
        "timeZone": None,
        "status": "pending",
        "takesEffectAt": _step_at(month, number),
        "heldBy": None,
        "inEffect": False,
        "updates": STEPS[number],
        "override": None,
        "onlyIf": None,
        "appliedAt": None,
        "statusReason": None,
        "errorMessage": None,
        "createdBy": "ada",
        "createdAt": f"{month}T08:01:00Z",
        "updatedAt": f"{month}T08:01:00Z",
        "cancelledBy": None,
        "cancelledAt": None,
    }


def _of_plans(month: date) -> dict[str, Any]:
    texts = {"name": "checkout-launch", "title": "Checkout launch", "description": "One page instead of three"}
    rollout = {
        "title": texts["title"],
        "flags": [KEY],
        "environments": [{"name": "production"}],
        "localTime": _step_at(month, 0).replace(":00Z", ""),
        "timeZone": "Europe/Berlin",
        "steps": [{"updates": STEPS[0]}, *({"after": "P1D", "updates": updates} for updates in STEPS[1:])],
    }
    views = [_schedule(month, n) for n in range(len(STEPS))]
    plan = {
        "id": BATCH,
        **texts,
        "status": "upcoming",
        "progress": {
            "pending": 3,
            "applied": 0,
            "skipped": 0,
            "cancelled": 0,
            "failed": 0,
            "nextAt": _step_at(month, 0),
        },
        "environments": ["production"],
        "flags": [KEY],
        "createdBy": "ada",
        "createdAt": f"{month}T08:01:00Z",
        "updatedAt": f"{month}T08:01:00Z",
        "version": 1,
    }
    preview = _of_timelines(month)["PreviewView"] | {"flagKey": KEY, "environment": "production"}
    return {
        "CreatePlanRequest": rollout,
        "ApplyPlanRequest": rollout,
        "EditPlanRequest": {"shift": "PT1H"},
        "CreatedPlanView": {"plan": plan, "schedules": views},
        "PlanDetailView": {"plan": plan, "pending": views, "ended": []},
        "PlanPageView": {"plans": [plan], "nextCursor": None},
        "PlanPreviewView": {"flags": [preview]},
        "AppliedPlanView": {
            "plan": plan,
            "created": True,
            "changed": True,
            "added": views,
            "cancelled": [],
            "kept": [],
        },
    }


def _of_holds(month: date) -> dict[str, Any]:
    asked = {"reason": "checkout fails", "then": "catchUp"}
    hold = {
        "id": HOLD,
        "environment": "production",
        "flagKey": KEY,
        "planId": None,
        "status": "active",
        "from": f"{month}T08:03:00Z",
        "until": None,
        **asked,
        "refuseEdits": False,
        "createdBy": "ada",
        "createdAt": f"{month}T08:03:00Z",
        "updatedAt": f"{month}T08:03:00Z",
        "releasedBy": None,
        "releasedAt": None,
    }
    return {
        "HoldRequest": asked,
        "FlagHoldRequest": asked | {"updates": {"enabled": False}},
        "EditHoldRequest": {"reason": "checkout fails, and nobody knows why"},
        "ReleaseHoldRequest": {"then": "catchUp"},
        "HoldView": hold,
        "HoldsView": {"holds": [hold]},
        "HoldPageView": {"holds": [hold], "nextCursor": None},
    }


def _of_timelines(month: date) -> dict[str, Any]:
    scheduled = [{"scheduleId": one, "draft": None, "entryId": None} for one in IDS]
    drafts = [{"scheduleId": None, "draft": n, "entryId": None} for n in range(len(STEPS))]
    return {
        "TimelineView": {
            "segments": _segments(month, scheduled),
            "holds": [],
            "passedOver": [],
            "deferred": [],
            "nextFrom": None,
        },
        "PreviewView": {"segments": _segments(month, drafts), "conflicts": [], "passedOver": [], "deferred": []},
    }


def _segments(month: date, causes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    at = [f"{month}T08:00:00Z", *(_step_at(month, n) for n in range(len(STEPS))), None]
    causes = [{"scheduleId": None, "draft": None, "entryId": 1}, *causes]
    states = accumulate(STEPS, or_, initial=STATE)
    return [
        {"from": start, "to": end, **state, "version": version, "cause": cause}
        for version, (start, end, state, cause) in enumerate(zip(at, at[1:], states, causes, strict=False), 1)
    ]


def _of_overrides(month: date) -> dict[str, Any]:
    body = {"userId": "ada", "override": "include", "reason": "tests the rollout"}
    view = body | {"createdBy": "ada", "createdAt": f"{month}T08:02:00Z"}
    return {
        "SetOverrideRequest": body,
        "OverrideView": view,
        "OverrideListView": {"users": [view], "nextCursor": None},
    }


def _of_history(month: date) -> dict[str, Any]:
    entry = {
        "id": 1,
        "flagKey": KEY,
        "environment": "production",
        "action": "flag.created",
        "scheduleId": None,
        "version": 1,
        "before": None,
        "after": STATE | {"description": DESCRIPTION, "archived": False},
        "actor": "ada",
        "requestId": REQUEST_ID,
        "effectiveAt": f"{month}T08:00:00Z",
        "recordedAt": f"{month}T08:00:00Z",
        "undoes": None,
    }
    return {
        "EntryView": entry,
        "HistoryView": {"entries": [entry], "nextCursor": None},
        "UndoRequest": {"entryId": 2},
        "UndoPlanRequest": {"force": False},
    }
