"""Undo, as clients see it. On both databases."""

from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from tests.builders import after
from tests.rows import everything

FLAGS = "/api/admin/flags"
FLAG = f"{FLAGS}/new-checkout"
UNDO = f"{FLAG}/undo"
PLANS = "/api/admin/plans"
NOBODY = str(UUID(int=1))


@pytest.fixture(autouse=True)
def _flag(admin: FlaskClient) -> None:
    assert admin.post(FLAGS, json={"key": "new-checkout", "rolloutPercentage": 10}).status_code == 201
    assert admin.patch(FLAG, json={"rolloutPercentage": 50}).status_code == 200


def newest(admin: FlaskClient) -> Any:
    return admin.get(f"{FLAG}/history").json["entries"][0]


def test_an_undo_is_an_entry_that_names_the_one_it_undoes(admin: FlaskClient) -> None:
    edited = newest(admin)

    undone = admin.post(UNDO, json={"entryId": edited["id"]})

    assert undone.status_code == 200
    assert undone.json == newest(admin)
    assert (undone.json["action"], undone.json["undoes"]) == ("flag.updated", edited["id"])
    assert undone.json["after"]["rolloutPercentage"] == 10


def test_what_was_changed_since_is_told_with_three_states(admin: FlaskClient, engine: sa.Engine) -> None:
    edited = newest(admin)
    admin.patch(FLAG, json={"rolloutPercentage": 60})
    before = everything(engine)

    refused = admin.post(UNDO, json={"entryId": edited["id"]})
    kept = everything(engine)
    forced = admin.post(UNDO, json={"entryId": edited["id"], "force": True})

    assert (refused.status_code, refused.json["error"]) == (409, "CHANGED_SINCE")
    assert refused.json["details"] == {"rolloutPercentage": {"then": 50, "before": 10, "now": 60}}
    assert kept == before
    assert (forced.status_code, forced.json["after"]["rolloutPercentage"]) == (200, 10)


def test_an_undo_that_is_sent_again_with_its_key_is_done_once(admin: FlaskClient) -> None:
    body, key = {"entryId": newest(admin)["id"]}, {"Idempotency-Key": "a-key"}

    answers = [admin.post(UNDO, json=body, headers=key) for _ in range(2)]
    another = admin.post(UNDO, json=body)

    assert answers[0].json == answers[1].json
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert (another.status_code, another.json["error"]) == (409, "NOTHING_TO_UNDO")


def test_an_archived_flag_is_restored_under_its_old_address(admin: FlaskClient) -> None:
    assert admin.delete(FLAG).status_code == 204
    (archived,) = [one for one in admin.get("/api/admin/history").json["entries"] if one["action"] == "flag.archived"]

    restored = admin.post(UNDO, json={"entryId": archived["id"]})

    assert (restored.status_code, restored.json["action"]) == (200, "flag.restored")
    assert admin.get(FLAG).json["rolloutPercentage"] == 50
    segments = admin.get(f"{FLAG}/timeline").json["segments"]
    assert [one["version"] for one in segments][-1] == 4


def test_a_plan_is_undone(admin: FlaskClient) -> None:
    steps = [{"updates": {"enabled": True}}, {"after": "PT1H", "updates": {"enabled": False}}]
    plan = admin.post(PLANS, json={"flags": ["new-checkout"], "steps": steps}).json["plan"]

    undone = admin.post(f"{PLANS}/{plan['id']}/undo", json={})
    again = admin.post(f"{PLANS}/{plan['id']}/undo", json={})

    assert (undone.status_code, undone.json["plan"]["status"]) == (200, "cancelled")
    assert [one["status"] for one in undone.json["ended"]] == ["applied", "cancelled"]
    assert admin.get(FLAG).json["enabled"] is False
    assert undone.headers["ETag"]
    assert (again.status_code, again.json["error"]) == (409, "NOTHING_TO_UNDO")


def test_a_plan_that_was_changed_since_is_told_by_its_flags(admin: FlaskClient) -> None:
    steps = [{"updates": {"enabled": True, "rolloutPercentage": 20}}]
    plan = admin.post(PLANS, json={"flags": ["new-checkout"], "steps": steps}).json["plan"]
    admin.patch(FLAG, json={"rolloutPercentage": 30})

    refused = admin.post(f"{PLANS}/{plan['id']}/undo", json={})

    assert (refused.status_code, refused.json["error"]) == (409, "CHANGED_SINCE")
    three = {"then": 20, "before": 50, "now": 30}
    assert refused.json["details"] == {"production/new-checkout": {"rolloutPercentage": three}}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, {"entryId": ["is required"]}),
        ({"entryId": "7"}, {"entryId": ["must be the number of an entry"]}),
        ({"entryId": 0}, {"entryId": ["must be the number of an entry"]}),
        ({"entryId": 2**63}, {"entryId": ["must be the number of an entry"]}),
        ({"entryId": True}, {"entryId": ["must be the number of an entry"]}),
        ({"entryId": 1.5}, {"entryId": ["must be the number of an entry"]}),
        ({"entryId": 1, "force": "yes"}, {"force": ["must be true or false"]}),
        ({"entryId": 1, "entry": 1}, {"entry": ["is not a field of this object"]}),
    ],
)
def test_an_undo_that_is_not_valid_says_why(admin: FlaskClient, body: Any, why: Any) -> None:
    answer = admin.post(UNDO, json=body)

    assert (answer.status_code, answer.json["details"]) == (400, why)


def test_what_there_is_not_can_not_be_undone(admin: FlaskClient) -> None:
    entry, plan = admin.post(UNDO, json={"entryId": 2**40}), admin.post(f"{PLANS}/{NOBODY}/undo", json={})

    assert (entry.status_code, entry.json["error"]) == (404, "ENTRY_NOT_FOUND")
    assert (plan.status_code, plan.json["error"]) == (404, "PLAN_NOT_FOUND")


def test_a_cancelled_schedule_is_planned_anew_as_another(admin: FlaskClient) -> None:
    body = {"scheduledAt": after(60).isoformat(), "updates": {"enabled": True}}
    planned = admin.post(f"{FLAG}/schedule", json=body).json
    cancelled = admin.delete(f"{FLAG}/schedule/{planned['id']}")

    undone = admin.post(UNDO, json={"entryId": newest(admin)["id"]})

    assert (cancelled.status_code, undone.status_code) == (200, 200)
    assert undone.json["action"] == "schedule.created"
    assert undone.json["scheduleId"] != planned["id"]
