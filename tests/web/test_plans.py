"""/api/admin/plans, as clients see it. On both databases."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.materialise import materialise_due
from tests.builders import ManualClock, after
from tests.rows import count, everything

FLAGS = "/api/admin/flags"
PLANS = "/api/admin/plans"
NAMED = "/api/admin/named-plans/launch"
KEY = {"Idempotency-Key": "a-key"}
ON = {"updates": {"enabled": True}}
NULLABLE = (
    "name",
    "title",
    "changes",
    "flags",
    "environments",
    "startAt",
    "localTime",
    "timeZone",
    "fold",
    "steps",
    "ramp",
)
REFUSED = "The plan is refused as a whole: nothing of it was stored"
Body = dict[str, Any]


@pytest.fixture(autouse=True)
def _flags(admin: FlaskClient) -> None:
    for key in "ab":
        for environment in ("dev", "production"):
            assert admin.post(FLAGS, json={"key": key, "environment": environment}).status_code == 201


def at(seconds: float) -> str:
    return after(seconds).isoformat().replace("+00:00", "Z")


def change(key: str, seconds: float, **other: Any) -> Body:
    return {"flagKey": key, "scheduledAt": at(seconds)} | ON | other


def listed(*changes: Body, **texts: str) -> Body:
    return {"changes": list(changes)} | texts


def steps(*percentages: int, **other: Any) -> Body:
    """For flags a and b, a minute apart."""
    first, *later = ({"updates": {"rolloutPercentage": one}} for one in percentages)
    return {"flags": ["a", "b"], "steps": [first, *({"after": "PT1M"} | one for one in later)]} | other


def schedule(plan: str, schedule_id: str, key: str, seconds: float, **other: Any) -> Body:
    return {
        "id": schedule_id,
        "batchId": plan,
        "flagKey": key,
        "environment": "production",
        "scheduledAt": at(seconds),
        "localTime": None,
        "timeZone": None,
        "status": "pending",
        "takesEffectAt": at(seconds),
        "heldBy": None,
        "inEffect": False,
        "updates": {"enabled": True},
        "override": None,
        "onlyIf": None,
        "appliedAt": None,
        "statusReason": None,
        "errorMessage": None,
        "createdBy": "ada",
        "createdAt": at(0),
        "updatedAt": at(0),
        "cancelledBy": None,
        "cancelledAt": None,
    } | other


def plan(plan_id: str, **other: Any) -> Body:
    """As it is when it is created, with two changes."""
    return {
        "id": plan_id,
        "name": "launch",
        "title": "Launch",
        "description": "Of it all",
        "status": "upcoming",
        "progress": {"pending": 2, "applied": 0, "skipped": 0, "cancelled": 0, "failed": 0, "nextAt": at(60)},
        "environments": ["production"],
        "flags": ["a", "b"],
        "createdBy": "ada",
        "createdAt": at(0),
        "updatedAt": at(0),
        "version": 1,
    } | other


def test_a_plan_is_created_read_moved_and_ended(admin: FlaskClient, clock: ManualClock) -> None:
    texts = {"name": "launch", "title": "Launch", "description": "Of it all"}
    created = admin.post(PLANS, json=listed(change("b", 120), change("a", 60), **texts))

    plan_id, b, a = created.json["plan"]["id"], *(one["id"] for one in created.json["schedules"])
    assert created.status_code == 201
    assert created.json == {
        "plan": plan(plan_id),
        "schedules": [schedule(plan_id, b, "b", 120), schedule(plan_id, a, "a", 60)],
    }
    assert urljoin(PLANS, created.headers["Location"]) == f"{PLANS}/{plan_id}"
    assert created.headers["ETag"] == f'"{plan_id}.1"'

    read = admin.get(f"{PLANS}/{plan_id}")
    assert (read.status_code, read.headers["ETag"]) == (200, f'"{plan_id}.1"')
    assert read.json == {
        "plan": plan(plan_id),
        "pending": [schedule(plan_id, a, "a", 60), schedule(plan_id, b, "b", 120)],
        "ended": [],
    }
    assert admin.get(PLANS).json == {"plans": [plan(plan_id)], "nextCursor": None}

    clock.at = after(60)
    moved = admin.patch(
        f"{PLANS}/{plan_id}", json={"title": "Later", "shift": "PT1H"}, headers={"If-Match": read.headers["ETag"]}
    )
    applied = {"status": "applied", "takesEffectAt": None, "inEffect": True, "appliedAt": at(60)}
    assert (moved.status_code, moved.headers["ETag"]) == (200, f'"{plan_id}.2"')
    running = {"title": "Later", "status": "running", "version": 2, "updatedAt": at(60)}
    progress = {"pending": 1, "applied": 1, "skipped": 0, "cancelled": 0, "failed": 0, "nextAt": at(3720)}
    assert moved.json == {
        "plan": plan(plan_id, **running, progress=progress),
        "pending": [schedule(plan_id, b, "b", 3720, updatedAt=at(60))],
        "ended": [schedule(plan_id, a, "a", 60, **applied)],
    }
    assert admin.get(f"{PLANS}/{plan_id}").json == moved.json

    ended = admin.delete(f"{PLANS}/{plan_id}", headers={"If-Match": moved.headers["ETag"]})
    cancelled = {
        "status": "cancelled",
        "takesEffectAt": None,
        "cancelledBy": "ada",
        "cancelledAt": at(60),
        "updatedAt": at(60),
    }
    assert (ended.status_code, ended.headers["ETag"]) == (200, f'"{plan_id}.3"')
    progress = {"pending": 0, "applied": 1, "skipped": 0, "cancelled": 1, "failed": 0, "nextAt": None}
    assert ended.json == {
        "plan": plan(plan_id, **running | {"status": "cancelled", "version": 3}, progress=progress),
        "pending": [],
        "ended": [schedule(plan_id, a, "a", 60, **applied), schedule(plan_id, b, "b", 3720, **cancelled)],
    }
    assert admin.get(f"{PLANS}/{plan_id}").json == ended.json

    again = admin.delete(f"{PLANS}/{plan_id}")
    assert (again.status_code, again.json["error"]) == (409, "PLAN_ENDED")


def test_the_short_form_is_the_product_of_flags_environments_and_steps(admin: FlaskClient) -> None:
    environments = [{"name": "dev"}, {"name": "production", "offset": "P1D"}]
    body = steps(10, 20, environments=environments, startAt=at(60))

    answer = admin.post(PLANS, json=body)

    assert answer.status_code == 201
    assert answer.json["plan"]["environments"] == ["dev", "production"]
    told = [(s["environment"], s["flagKey"], s["scheduledAt"], s["updates"]) for s in answer.json["schedules"]]
    assert told == [
        (environment, key, at(seconds + later), {"rolloutPercentage": percentage})
        for environment, later in (("dev", 0), ("production", 86400))
        for seconds, percentage in ((60, 10), (120, 20))
        for key in "ab"
    ]


def test_a_ramp_makes_steps_and_the_first_turns_the_flag_on(admin: FlaskClient) -> None:
    ramp = {"from": 1, "to": 100, "steps": 3, "every": "PT12H", "curve": "exponential", "enabled": True}

    answer = admin.post(PLANS, json={"flags": ["a"], "ramp": ramp})

    told = [(s["scheduledAt"], s["updates"], s["status"]) for s in answer.json["schedules"]]
    assert told == [
        (at(0), {"enabled": True, "rolloutPercentage": 1}, "applied"),
        (at(43200), {"rolloutPercentage": 10}, "pending"),
        (at(86400), {"rolloutPercentage": 100}, "pending"),
    ]
    assert admin.get(f"{FLAGS}/a").json["enabled"] is True


def test_a_preview_shows_each_flag_over_time_and_what_is_in_its_way(admin: FlaskClient, engine: sa.Engine) -> None:
    admin.post(f"{FLAGS}/a/schedule", json={"scheduledAt": at(90), "updates": {"rolloutPercentage": 5}})
    before = everything(engine)

    answer = admin.post(f"{PLANS}/preview", json=steps(10, 20))

    assert answer.status_code == 200
    assert everything(engine) == before
    one, two = answer.json["flags"]
    assert [(one["flagKey"], one["environment"]), (two["flagKey"], two["environment"])] == [
        ("a", "production"),
        ("b", "production"),
    ]
    assert [(s["from"], s["to"], s["rolloutPercentage"], s["cause"]["draft"]) for s in one["segments"]] == [
        (at(0), at(60), 10, 0),
        (at(60), at(90), 20, 1),
        (at(90), None, 5, None),
    ]
    assert [s["scheduledAt"] for s in one["conflicts"]] == []
    assert len(two["segments"]) == 2


def test_a_named_plan_is_made_to_be_what_is_sent(admin: FlaskClient, engine: sa.Engine) -> None:
    dry = admin.put(f"{NAMED}?dryRun=true", json=steps(10, 20, startAt=at(60)))
    assert (dry.status_code, dry.json["created"], len(dry.json["added"])) == (200, True, 4)
    assert count(engine, "feature_flag_plans") == 0

    first = admin.put(NAMED, json=steps(10, 20, startAt=at(60)))
    again = admin.put(f"{NAMED}?dryRun=false", json=steps(10, 20, startAt=at(60)))
    other = admin.put(NAMED, json=steps(10, 30, startAt=at(60)))

    told = [
        (
            one.status_code,
            one.json["created"],
            one.json["changed"],
            *(len(one.json[of]) for of in ("added", "cancelled", "kept")),
        )
        for one in (first, again, other)
    ]
    assert told == [(200, True, True, 4, 0, 0), (200, False, False, 0, 0, 4), (200, False, True, 2, 2, 2)]
    plan_id = first.json["plan"]["id"]
    assert [one.headers["ETag"] for one in (first, again, other)] == [f'"{plan_id}.{n}"' for n in (1, 1, 2)]
    assert again.json["plan"] == first.json["plan"]
    assert admin.get(f"{PLANS}?name=launch").json["plans"] == [other.json["plan"]]


def test_a_plan_is_created_and_moved_once_however_often_that_is_sent(
    admin: FlaskClient, engine: sa.Engine, clock: ManualClock
) -> None:
    first = admin.post(PLANS, json=steps(10, 20), headers=KEY)
    path = f"{PLANS}/{first.json['plan']['id']}"
    shift = {"Idempotency-Key": "another"}
    moved = admin.patch(path, json={"shift": "PT1H"}, headers=shift)
    rows = everything(engine)
    clock.advance(hours=23)

    again = admin.post(PLANS, json=steps(10, 20), headers=KEY)
    moved_again = admin.patch(path, json={"shift": "PT1H"}, headers=shift)

    for one, other in ((first, again), (moved, moved_again)):
        assert (one.status_code, one.data) == (other.status_code, other.data)
        assert [one.headers.get(name) for name in ("Location", "ETag")] == [
            other.headers.get(name) for name in ("Location", "ETag")
        ]
        assert other.headers["Idempotency-Replayed"] == "true"
    assert everything(engine) == rows
    reused = admin.patch(path, json={"shift": "PT2H"}, headers=shift)
    assert (reused.status_code, reused.json["error"]) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_a_bulk_is_read_moved_and_ended_by_its_batch_id(admin: FlaskClient) -> None:
    body = {"schedules": [{"scheduledAt": at(60)} | ON, {"scheduledAt": at(70)} | ON]}
    batch = admin.post(f"{FLAGS}/a/schedule/bulk", json=body).json["schedules"][0]["batchId"]

    read = admin.get(f"{PLANS}/{batch}").json
    moved = admin.patch(f"{PLANS}/{batch}", json={"shift": "-PT30S"}).json
    ended = admin.delete(f"{PLANS}/{batch}").json

    assert (read["plan"]["name"], read["plan"]["title"], len(read["pending"])) == (None, "", 2)
    assert [one["scheduledAt"] for one in moved["pending"]] == [at(30), at(40)]
    assert [one["status"] for one in ended["ended"]] == ["cancelled"] * 2


def test_plans_are_listed_page_by_page(admin: FlaskClient, clock: ManualClock) -> None:
    for n in range(5):
        admin.post(PLANS, json=listed(change("a", 60 + n), title=f"Plan {n}"))
        clock.advance(milliseconds=1)

    titles = []
    cursor: str | None = ""
    while cursor is not None:
        page = admin.get(f"{PLANS}?limit=2{cursor and f'&cursor={cursor}'}").json
        titles.append([one["title"] for one in page["plans"]])
        cursor = page["nextCursor"]

    assert titles == [["Plan 4", "Plan 3"], ["Plan 2", "Plan 1"], ["Plan 0"]]
    assert [one["title"] for one in admin.get(f"{PLANS}?q=lan%203&status=upcoming").json["plans"]] == ["Plan 3"]
    assert admin.get(f"{PLANS}?environment=dev").json["plans"] == []
    assert admin.get(f"{PLANS}?status=done").json == {"plans": [], "nextCursor": None}


def refused_plans() -> dict[str, tuple[Body, Body]]:
    """Bodies, and what the error says of them."""
    ramp = {"from": 0, "to": 100, "steps": 5, "every": "PT1H"}
    far = {"startAt": at(60), "timeZone": "Europe/Berlin"}
    return {
        "nothing": ({}, {"flags": ["is required, unless changes are given"]}),
        "both forms": (
            listed(change("a", 60)) | steps(10),
            {"flags": ["must not be set with changes"], "steps": ["must not be set with changes"]},
        ),
        "no steps": ({"flags": ["a"]}, {"steps": ["must be set, or ramp, and not both"]}),
        "steps and ramp": (steps(10) | {"ramp": ramp}, {"steps": ["must be set, or ramp, and not both"]}),
        "no changes": (listed(), {"changes": ["must have 1 to 200 items, not 0"]}),
        "201 changes": (listed(*[{}] * 201), {"changes": ["must have 1 to 200 items, not 201"]}),
        "a product of 202": (
            {"flags": ["a", "b"], "steps": [ON] * 101},
            {"flags": ["make 202 changes with all environments and steps; most are 200"]},
        ),
        "51 flags": (steps(10, flags=[f"f{n}" for n in range(51)]), {"flags": ["must have 1 to 50 items, not 51"]}),
        "changes of 51 flags": (
            listed(*(change(f"f{n}", 60) for n in range(51))),
            {"changes": ["must be of at most 50 flag keys, not 51"]},
        ),
        "a flag twice": (steps(10, flags=["a", "b", "a"]), {"flags": {"2": ["is in this list already"]}}),
        "an environment twice": (
            steps(10, environments=[{"name": "dev"}, {"name": "dev", "offset": "PT1H"}]),
            {"environments": {"1": ["is in this list already"]}},
        ),
        "a null for each": (
            dict.fromkeys(NULLABLE),
            {field: ["must not be null"] for field in NULLABLE},
        ),
        "a change without an instant": (
            listed(change("a", 60), {"flagKey": "a"} | ON),
            {"changes": {"1": {"scheduledAt": ["is required"]}}},
        ),
        "a change with two instants": (
            listed(change("a", 60, localTime="2096-06-02T12:00", timeZone="UTC")),
            {"changes": {"0": {"localTime": ["must not be set with scheduledAt"]}}},
        ),
        "a zone without a local time": (
            listed(change("a", 60, timeZone="Europe/Berlin")),
            {"changes": {"0": {"timeZone": ["must not be set without localTime"]}}},
        ),
        "a fold without a local time": (steps(10, fold="later"), {"fold": ["must not be set without localTime"]}),
        "a local time without a zone": (
            steps(10, localTime="2096-06-02T12:00"),
            {"timeZone": ["is required with localTime"]},
        ),
        "an unknown zone": (
            steps(10, timeZone="../etc/passwd"),
            {"timeZone": ["must be the IANA name of a time zone, like 'Europe/Berlin'"]},
        ),
        "a zone in small letters": (
            steps(10, timeZone="europe/berlin"),
            {"timeZone": ["must be the IANA name of a time zone: it is written 'Europe/Berlin'"]},
        ),
        "a start that is past": (steps(10, startAt=at(0)), {"startAt": ["must be in the future"]}),
        "a step that is too far": (
            {"flags": ["a"], "steps": [ON, {"after": "P367D"} | ON]} | far,
            {"steps": {"1": {"after": ["must be at most 366 days ahead"]}}},
        ),
        "a ramp that leads too far": (
            {"flags": ["a"], "ramp": ramp | {"every": "P100D"}},
            {"ramp": {"every": ["must be at most 366 days ahead"]}},
        ),
        "a ramp that stands": (
            {"flags": ["a"], "ramp": ramp | {"every": "PT0S"}},
            {"ramp": {"every": ["must be 'PT1S' or longer"]}},
        ),
        "a ramp of what is no number": (
            {"flags": ["a"], "ramp": {"from": "0", "to": 3.0, "steps": True, "every": 5, "curve": 7, "enabled": False}},
            {
                "ramp": {
                    "from": ["must be an integer from 0 to 100"],
                    "to": ["must be an integer from 0 to 100"],
                    "steps": ["must be an integer from 2 to 101"],
                    "every": ["must be a string like 'PT24H' or 'P1D'"],
                    "curve": ["must be one of: linear, exponential"],
                }
            },
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", refused_plans())
def test_what_is_wrong_with_a_plan_is_said_where_it_is(admin: FlaskClient, engine: sa.Engine, name: str) -> None:
    body, details = refused_plans()[name]
    before = everything(engine)

    for path in (PLANS, f"{PLANS}/preview"):
        answer = admin.post(path, json=body)
        assert (answer.status_code, answer.json["error"]) == (400, "Validation failed")
        assert (answer.json["message"], answer.json["details"]) == (REFUSED, details)
    put = admin.put(NAMED, json=body)
    assert put.status_code == 400
    assert everything(engine) == before


def test_a_start_at_the_end_of_the_calendar_is_refused_where_it_stands(admin: FlaskClient) -> None:
    for start, zone in (("9999-12-31T23:59:59Z", "Pacific/Apia"), ("0001-01-01T00:00:00Z", "America/New_York")):
        answer = admin.post(PLANS, json=steps(10, startAt=start, timeZone=zone))
        assert (answer.status_code, list(answer.json["details"])) == (400, ["startAt"])


@pytest.mark.parametrize("name", ["a b", "é", "-a", "x" * 101, "%00", ".", "..", "%ed%a0%80"])
def test_a_name_that_no_plan_can_have_is_refused_with_what_it_must_be(
    admin: FlaskClient, engine: sa.Engine, name: str
) -> None:
    answer = admin.put(f"/api/admin/named-plans/{name}", json=steps(10))

    assert (answer.status_code, answer.json["details"]) == (
        400,
        {"name": ["must be 1 to 100 letters, digits, '.', '_', '-', beginning with a letter or digit"]},
    )
    assert count(engine, "feature_flag_plans") == 0


def test_a_name_that_is_taken_is_refused(admin: FlaskClient) -> None:
    for status in (201, 409):
        answer = admin.post(PLANS, json=listed(change("a", 60), name="launch"))
        assert answer.status_code == status

    assert answer.json["error"] == "PLAN_EXISTS"
    assert answer.json["message"] == "plan 'launch' already exists; DELETE ends it"


@pytest.mark.parametrize("change_of", ["patch", "delete"])
def test_a_plan_is_not_changed_in_a_version_that_the_caller_has_not_seen(
    admin: FlaskClient, engine: sa.Engine, change_of: str
) -> None:
    created = admin.post(PLANS, json=steps(10, 20)).json["plan"]["id"]
    path, seen = f"{PLANS}/{created}", admin.get(f"{FLAGS}/a").headers["ETag"]
    before = everything(engine)
    send: Callable[..., Any] = getattr(admin, change_of)

    for tag in (seen, f'"{created}.2"', f'"{UUID(int=0)}.1"'):
        answer = send(path, json={"title": "x"} if change_of == "patch" else None, headers={"If-Match": tag})
        assert (answer.status_code, answer.json["error"]) == (412, "PLAN_CHANGED")
        assert answer.json["message"] == f"plan '{created}' has changed: it is in version 1"

    assert everything(engine) == before


def test_what_a_worker_records_changes_nothing_of_what_is_told(
    admin: FlaskClient, clock: ManualClock, store: SqlStore
) -> None:
    path = f"{PLANS}/{admin.post(PLANS, json=steps(10, 20, 30)).json['plan']['id']}"
    clock.at = after(60)

    before = admin.get(path)
    materialise_due(store, Backoff(lambda: 0.0))
    recorded = admin.get(path)

    assert recorded.json["plan"] == before.json["plan"]
    assert recorded.json["pending"] == before.json["pending"]
    assert recorded.headers["ETag"] == before.headers["ETag"]
    assert [one["inEffect"] for one in before.json["ended"]] == [True] * 4


def test_a_shift_that_is_refused_says_which_instant_and_that_the_plan_is_as_it_was(admin: FlaskClient) -> None:
    path = f"{PLANS}/{admin.post(PLANS, json=listed(change('a', 60))).json['plan']['id']}"

    answer = admin.patch(path, json={"title": "x", "shift": "-PT1M"})

    assert (answer.status_code, answer.json["message"], answer.json["details"]) == (
        400,
        "The change is refused as a whole: the plan is as it was",
        {"shift": ["2096-06-01T12:00:00Z, for flag 'a' in 'production', must be in the future"]},
    )
    assert admin.get(path).json["plan"]["version"] == 1
