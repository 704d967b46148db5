"""Overrides that schedules set, over HTTP, on every database."""

from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.materialise import materialise_due
from flagsched.web.schemas.overrides import USER_MESSAGE
from tests.builders import ManualClock, after
from tests.rows import count

FLAG = "/api/admin/flags/new-checkout"
SCHEDULE = f"{FLAG}/schedule"
EVALUATE = "/ofrep/v1/evaluate/flags"
UNSET = "must be one of: include, exclude, remove"


@pytest.fixture(autouse=True)
def _a_flag(admin: FlaskClient) -> None:
    body = {"key": "new-checkout", "enabled": True, "rolloutPercentage": 0}
    assert admin.post("/api/admin/flags", json=body).status_code == 201


def item(seconds: float, sets: str = "include", user: str = "ada") -> dict[str, Any]:
    return {"scheduledAt": after(seconds).isoformat(), "override": {"userId": user, "set": sets}}


def bulk(admin: FlaskClient, *items: Any) -> Any:
    return admin.post(f"{SCHEDULE}/bulk", json={"schedules": items})


def ask(anyone: FlaskClient, user: str = "ada", etag: str = "") -> Any:
    return anyone.post(EVALUATE, json={"context": {"targetingKey": user}}, headers={"If-None-Match": etag})


def test_a_user_is_included_at_one_instant_and_like_all_others_again_at_another(
    admin: FlaskClient, anyone: FlaskClient, clock: ManualClock, store: SqlStore
) -> None:
    answer = bulk(admin, item(60), item(120, "remove"))
    assert answer.status_code == 201
    assert [(s["updates"], s["override"]) for s in answer.json["schedules"]] == [
        (None, {"userId": "ada", "set": "include"}),
        (None, {"userId": "ada", "set": "remove"}),
    ]

    seen = []
    for recorded in (False, True, True):
        first = ask(anyone)
        if recorded:
            materialise_due(store, Backoff(lambda: 0.0))
        assert ask(anyone, etag=first.headers["ETag"]).status_code == 304
        flag = first.json["flags"][0]
        users = [(one["userId"], one["override"]) for one in admin.get(f"{FLAG}/users").json["users"]]
        seen.append((flag["value"], flag["reason"], flag["metadata"]["version"], users))
        clock.advance(minutes=1)
        assert ask(anyone, etag=first.headers["ETag"]).status_code == (200 if len(seen) < 3 else 304)

    assert seen == [
        (False, "STATIC", 1, []),
        (True, "TARGETING_MATCH", 2, [("ada", "include")]),
        (False, "STATIC", 3, []),
    ]


def test_what_is_planned_is_shown_as_it_was_asked_for(admin: FlaskClient) -> None:
    made = admin.post(SCHEDULE, json=item(60))

    assert made.status_code == 201
    assert (made.json["updates"], made.json["override"]) == (None, {"userId": "ada", "set": "include"})
    assert admin.get(SCHEDULE).json == [made.json] == admin.get("/api/admin/schedules").json["schedules"]
    assert admin.get(f"{FLAG}/history").json["entries"][0]["after"] == {
        "scheduledAt": "2096-06-01T12:01:00Z",
        "override": {"userId": "ada", "set": "include"},
        "status": "pending",
    }
    assert admin.get(FLAG).json["nextChangeAt"] == "2096-06-01T12:01:00Z"


def test_an_edit_may_replace_updates_by_an_override_and_back(admin: FlaskClient) -> None:
    path = f"{SCHEDULE}/{admin.post(SCHEDULE, json=item(60)).json['id']}"

    to_updates = admin.patch(path, json={"updates": {"rolloutPercentage": 5}}).json
    later = admin.patch(path, json={"scheduledAt": after(90).isoformat()}).json
    back = admin.patch(path, json={"override": {"userId": "bob", "set": "exclude"}}).json

    assert [(one["updates"], one["override"]) for one in (to_updates, later, back)] == [
        ({"rolloutPercentage": 5}, None),
        ({"rolloutPercentage": 5}, None),
        (None, {"userId": "bob", "set": "exclude"}),
    ]


def test_a_preview_shows_overrides_and_what_conflicts_with_them(admin: FlaskClient, engine: sa.Engine) -> None:
    bulk(admin, item(60), item(70, user="bob"), {"scheduledAt": after(80).isoformat(), "updates": {"enabled": False}})

    answer = admin.post(f"{SCHEDULE}/preview", json={"schedules": [item(50, "exclude"), item(90, "remove")]})

    assert answer.status_code == 200
    assert [s["cause"]["draft"] for s in answer.json["segments"]] == [None, 0, None, None, None, 1]
    assert [s["override"]["userId"] for s in answer.json["conflicts"]] == ["ada"]
    assert count(engine, "feature_flag_schedules") == 3


@pytest.mark.parametrize(
    ("wrong", "details"),
    [
        ({"updates": {"enabled": True}}, {"override": ["must not stand beside updates"]}),
        ({"updates": None}, {"updates": ["must not be null"], "override": ["must not stand beside updates"]}),
        ({"override": None}, {"override": ["must not be null"]}),
        ({"override": {"userId": "ada"}}, {"override": {"set": ["is required"]}}),
        ({"override": {"set": "remove"}}, {"override": {"userId": ["is required"]}}),
        ({"override": {"userId": "ada", "set": "toggle"}}, {"override": {"set": [UNSET]}}),
        ({"override": {"userId": "ada", "set": 1}}, {"override": {"set": ["must be a string"]}}),
        ({"override": {"userId": "/", "set": "remove"}}, {"override": {"userId": [USER_MESSAGE]}}),
        (
            {"override": {"userId": "a", "set": "remove", "x": 1}},
            {"override": {"x": ["is not a field of this object"]}},
        ),
        ({"override": "ada"}, {"override": ["must be a JSON object"]}),
    ],
)
def test_what_is_wrong_is_named_alone_in_a_bulk_in_a_preview_and_in_an_edit(
    admin: FlaskClient, engine: sa.Engine, wrong: Any, details: Any
) -> None:
    planned = admin.post(SCHEDULE, json=item(60)).json

    alone = admin.post(SCHEDULE, json=item(70) | wrong)
    of_bulk = bulk(admin, item(70), item(80) | wrong)
    preview = admin.post(f"{SCHEDULE}/preview", json={"schedules": [item(70) | wrong]})
    edit = admin.patch(f"{SCHEDULE}/{planned['id']}", json={"override": item(70)["override"]} | wrong)

    assert {answer.status_code for answer in (alone, of_bulk, preview, edit)} == {400}
    assert alone.json["details"] == edit.json["details"] == details
    assert of_bulk.json["details"] == {"schedules": {"1": details}}
    assert preview.json["details"] == {"schedules": {"0": details}}
    assert count(engine, "feature_flag_schedules") == 1


def test_an_override_cannot_be_smuggled_in_as_updates(admin: FlaskClient) -> None:
    smuggled = {"scheduledAt": after(60).isoformat(), "updates": {"override": {"userId": "ada", "set": "include"}}}

    answer = bulk(admin, smuggled)

    unknown = {"updates": {"override": ["is not a field of this object"]}}
    assert (answer.status_code, answer.json["details"]) == (400, {"schedules": {"0": unknown}})
