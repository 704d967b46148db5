"""`onlyIf`, as clients write and read it. On both databases."""

from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.materialise import materialise_due
from flagsched.web.schemas.schedules import BulkCreateScheduleRequest, CreateScheduleRequest
from tests.builders import ManualClock, after
from tests.rows import everything

FLAGS = "/api/admin/flags"
FLAG = f"{FLAGS}/new-checkout"
SCHEDULE = f"{FLAG}/schedule"
PLANS = "/api/admin/plans"
ASKED = {"enabled": True, "rolloutPercentage": {"atLeast": 5, "atMost": 20}, "unedited": True}
Body = dict[str, Any]


@pytest.fixture(autouse=True)
def _flag(admin: FlaskClient) -> None:
    assert admin.post(FLAGS, json={"key": "new-checkout", "enabled": True, "rolloutPercentage": 10}).status_code == 201


def at(seconds: float) -> str:
    return after(seconds).isoformat().replace("+00:00", "Z")


def item(seconds: float, **other: Any) -> Body:
    return {"scheduledAt": at(seconds), "updates": {"rolloutPercentage": 50}} | other


def test_a_condition_is_answered_as_it_was_asked_for(admin: FlaskClient, clock: ManualClock, store: SqlStore) -> None:
    single = admin.post(SCHEDULE, json=item(10, onlyIf=ASKED))
    bulk = admin.post(f"{SCHEDULE}/bulk", json={"schedules": [item(20), item(30, onlyIf={"enabled": False})]})

    assert (single.status_code, bulk.status_code) == (201, 201)
    assert [one["onlyIf"] for one in (single.json, *bulk.json["schedules"])] == [ASKED, None, {"enabled": False}]
    assert [one["onlyIf"] for one in admin.get(SCHEDULE).json] == [ASKED, None, {"enabled": False}]
    created = admin.get(f"{FLAG}/history").json["entries"][2]
    assert created["after"]["onlyIf"] == ASKED
    clock.advance(seconds=30)
    materialise_due(store, Backoff(lambda: 0.0))
    told = admin.get(SCHEDULE).json[2]
    assert (told["status"], told["statusReason"]) == ("skipped", "onlyIf is not met: wanted off, found on")


def test_an_edit_replaces_the_condition_or_takes_it_away(admin: FlaskClient) -> None:
    path = f"{SCHEDULE}/{admin.post(SCHEDULE, json=item(10, onlyIf=ASKED)).json['id']}"

    edits: list[Body] = [{"updates": {"enabled": False}}, {"onlyIf": {"unedited": True}}, {"onlyIf": None}]
    told = [admin.patch(path, json=edit).json["onlyIf"] for edit in edits]

    assert told == [ASKED, {"unedited": True}, None]


def test_plans_have_conditions_in_every_form(admin: FlaskClient) -> None:
    on = {"onlyIf": {"enabled": True}}
    override = {"override": {"userId": "ada", "set": "include"}}
    steps = [{"updates": {"rolloutPercentage": 20}}, {"after": "PT1M", **override, **on}]
    bodies: list[Body] = [
        {"changes": [item(10, flagKey="new-checkout", **on)]},
        {"flags": ["new-checkout"], "startAt": at(20), "steps": steps},
        {
            "flags": ["new-checkout"],
            "startAt": at(90),
            "ramp": {"from": 20, "to": 40, "steps": 2, "every": "PT1H"} | on,
        },
    ]

    created = [admin.post(PLANS, json=body).json["schedules"] for body in bodies]
    preview = admin.post(f"{PLANS}/preview", json=bodies[1])

    assert [[one["onlyIf"] for one in schedules] for schedules in created] == [
        [{"enabled": True}],
        [None, {"enabled": True}],
        [{"enabled": True}] * 2,
    ]
    assert preview.status_code == 200


REFUSED: dict[str, tuple[Any, Any]] = {
    "nothing": ({}, ["must set enabled, rolloutPercentage or unedited"]),
    "null": (None, ["must not be null"]),
    "a text": ("on", ["must be a JSON object"]),
    "another field": ({"on": True}, {"on": ["is not a field of this object"]}),
    "a text for a boolean": ({"enabled": "true"}, {"enabled": ["must be true or false"]}),
    "no bound": ({"rolloutPercentage": {}}, {"rolloutPercentage": ["must set atLeast, atMost or both"]}),
    "a number for bounds": ({"rolloutPercentage": 5}, {"rolloutPercentage": ["must be a JSON object"]}),
    "too much": (
        {"rolloutPercentage": {"atMost": 101}},
        {"rolloutPercentage": {"atMost": ["must be an integer from 0 to 100"]}},
    ),
    "the wrong way round": (
        {"rolloutPercentage": {"atLeast": 6, "atMost": 5}},
        {"rolloutPercentage": {"atLeast": ["must not be more than atMost"]}},
    ),
    "edited": ({"unedited": False}, {"unedited": ["must be true, or left out"]}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_condition_that_is_refused_says_why_and_stores_nothing(
    admin: FlaskClient, engine: sa.Engine, name: str
) -> None:
    asked, why = REFUSED[name]
    before = everything(engine)

    single = admin.post(SCHEDULE, json=item(10, onlyIf=asked))
    bulk = admin.post(f"{SCHEDULE}/bulk", json={"schedules": [item(10), item(20, onlyIf=asked)]})
    plan = admin.post(PLANS, json={"changes": [item(10, flagKey="new-checkout", onlyIf=asked)]})

    assert [one.status_code for one in (single, bulk, plan)] == [400] * 3
    assert single.json["details"] == {"onlyIf": why}
    assert bulk.json["details"] == {"schedules": {"1": {"onlyIf": why}}}
    assert plan.json["details"] == {"changes": {"0": {"onlyIf": why}}}
    assert everything(engine) == before


def test_a_condition_does_not_stand_among_the_updates(admin: FlaskClient) -> None:
    inside = item(10, updates={"enabled": True, "onlyIf": {"enabled": True}})

    answers = [
        admin.post(SCHEDULE, json=inside),
        admin.post(f"{SCHEDULE}/bulk", json={"schedules": [inside]}),
    ]

    assert [one.status_code for one in answers] == [400, 400]
    assert answers[0].json["details"] == {"updates": {"onlyIf": ["is not a field of this object"]}}


def test_items_of_a_bulk_are_loaded_as_a_single_one_is() -> None:
    items = [item(10), item(20, onlyIf=ASKED), item(30, override={"userId": "ada", "set": "remove"}, onlyIf=ASKED)]
    del items[2]["updates"]

    loaded = BulkCreateScheduleRequest().load({"schedules": items})["schedules"]

    assert loaded == [CreateScheduleRequest().load(one) for one in items]
    assert [one.updates.only_if is not None for one in loaded] == [False, True, True]
