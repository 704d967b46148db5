"""Holds, as clients see them. On both databases."""

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
from tests.tokens import signed

FLAGS = "/api/admin/flags"
FLAG = f"{FLAGS}/new-checkout"
SCHEDULE = f"{FLAG}/schedule"
OF_FLAG = f"{FLAG}/holds"
OF_ENVIRONMENT = "/api/admin/environments/production/holds"
HOLDS = "/api/admin/holds"
PLANS = "/api/admin/plans"
WHY = {"reason": "checkout fails"}
NOBODY = str(UUID(int=1))
Body = dict[str, Any]


@pytest.fixture(autouse=True)
def _flag(admin: FlaskClient) -> None:
    body = {"key": "new-checkout", "enabled": True, "rolloutPercentage": 10}
    assert admin.post(FLAGS, json=body).status_code == 201


def at(seconds: float) -> str:
    return after(seconds).isoformat().replace("+00:00", "Z")


def plan(admin: FlaskClient, seconds: float, percentage: int) -> str:
    body = {"scheduledAt": at(seconds), "updates": {"rolloutPercentage": percentage}}
    return str(admin.post(SCHEDULE, json=body).json["id"])


def held(admin: FlaskClient, **asked: Any) -> Body:
    answer = admin.post(OF_FLAG, json=WHY | asked)
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


def release(admin: FlaskClient, hold: Body, **how: Any) -> Body:
    answer = admin.post(f"{HOLDS}/{hold['id']}/release", json=how)
    assert answer.status_code == 200, answer.text
    return dict(answer.json)


def state(admin: FlaskClient) -> tuple[bool, int]:
    flag = admin.get(FLAG).json
    return flag["enabled"], flag["rolloutPercentage"]


def test_a_hold_is_answered_with_its_place_and_read_there(admin: FlaskClient) -> None:
    answer = admin.post(OF_FLAG, json=WHY)

    assert answer.status_code == 201
    assert answer.json == {
        "id": answer.json["id"],
        "environment": "production",
        "flagKey": "new-checkout",
        "planId": None,
        "status": "active",
        "from": at(0),
        "until": None,
        "then": "catchUp",
        "reason": "checkout fails",
        "refuseEdits": False,
        "createdBy": "ada",
        "createdAt": at(0),
        "updatedAt": at(0),
        "releasedBy": None,
        "releasedAt": None,
    }
    assert admin.get(f"{HOLDS}/{answer.json['id']}").json == answer.json
    assert admin.get(FLAG).json["holds"] == [
        {
            "id": answer.json["id"],
            "scope": "flag",
            "from": at(0),
            "until": None,
            "then": "catchUp",
            "reason": "checkout fails",
            "refuseEdits": False,
        }
    ]


def test_the_red_button_and_the_morning_after(admin: FlaskClient, clock: ManualClock) -> None:
    step, last = plan(admin, 60, 50), plan(admin, 120, 100)
    clock.advance(seconds=30)

    hold = held(admin, updates={"enabled": False})
    clock.advance(seconds=60)
    kept = admin.get(f"{SCHEDULE}/{step}").json
    asleep = state(admin)
    released = release(admin, hold, then="shift")

    assert asleep == (False, 10)
    assert (kept["status"], kept["takesEffectAt"], kept["heldBy"]) == ("pending", None, hold["id"])
    assert (released["status"], released["until"], released["releasedBy"]) == ("over", at(90), "ada")
    assert [admin.get(f"{SCHEDULE}/{one}").json["takesEffectAt"] for one in (step, last)] == [at(120), at(180)]
    assert admin.patch(FLAG, json={"enabled": True}).status_code == 200
    clock.advance(seconds=30)
    assert state(admin) == (True, 50)


def test_what_a_hold_skips_says_so(admin: FlaskClient, clock: ManualClock, store: SqlStore) -> None:
    step = plan(admin, 60, 50)
    hold = held(admin, **{"from": at(30), "until": at(90), "then": "skip"})
    told = {"scheduleId": step, "draft": None, "scheduledAt": at(60), "status": "skipped"}

    before = admin.get(f"{FLAG}/timeline").json
    clock.advance(seconds=100)
    materialise_due(store, Backoff(lambda: 0.0))
    one = admin.get(f"{SCHEDULE}/{step}").json
    timeline = admin.get(f"{FLAG}/timeline").json

    assert [(passed | {"reason": ""}) for passed in before["passedOver"]] == [told | {"reason": ""}]
    assert timeline["passedOver"] == before["passedOver"]
    assert (one["status"], one["inEffect"], one["appliedAt"], one["takesEffectAt"]) == ("skipped", False, None, None)
    assert f"{hold['id']}" in one["statusReason"]
    assert "checkout fails" in one["statusReason"]
    assert state(admin) == (True, 10)
    refused = admin.delete(f"{SCHEDULE}/{step}")
    assert (refused.status_code, refused.json["error"]) == (409, "ALREADY_SKIPPED")


def test_a_timeline_has_the_holds_and_what_they_defer(admin: FlaskClient) -> None:
    step = plan(admin, 60, 50)
    hold = held(admin, **{"from": at(30), "until": at(90)})

    timeline = admin.get(f"{FLAG}/timeline").json
    draft = {"scheduledAt": at(70), "updates": {"rolloutPercentage": 70}}
    preview = admin.post(f"{SCHEDULE}/preview", json={"schedules": [draft]}).json

    assert [(one["from"], one["rolloutPercentage"]) for one in timeline["segments"]] == [(at(0), 10), (at(90), 50)]
    assert [(one["id"], one["from"], one["until"]) for one in timeline["holds"]] == [(hold["id"], at(30), at(90))]
    deferred = {"scheduleId": step, "draft": None, "scheduledAt": at(60), "takesEffectAt": at(90), "heldBy": hold["id"]}
    assert timeline["deferred"] == [deferred]
    assert preview["deferred"] == [deferred, deferred | {"scheduleId": None, "draft": 0, "scheduledAt": at(70)}]
    assert [one["rolloutPercentage"] for one in preview["segments"]] == [10, 70]


def test_a_freeze_refuses_edits_by_hand_and_says_how_to_make_one(admin: FlaskClient) -> None:
    frozen = admin.post(OF_ENVIRONMENT, json={"reason": "holidays", "refuseEdits": True, "until": at(600)}).json
    eve = {"userId": "eve", "override": "include"}
    before = [admin.get(FLAG).json["version"], admin.get(f"{FLAG}/users").json]

    refused = [
        admin.patch(FLAG, json={"enabled": False}),
        admin.post(FLAG, json={"enabled": False}),
        admin.post(f"{FLAG}/users", json=eve),
        admin.delete(FLAG),
    ]
    left = [admin.get(FLAG).json["version"], admin.get(f"{FLAG}/users").json]
    edited = admin.patch(f"{FLAG}?override=the+shop+is+down", json={"enabled": False})

    assert frozen["flagKey"] is None
    assert {(one.status_code, one.json["error"]) for one in refused} == {(409, "FROZEN")}
    for told in (frozen["id"], "holidays", at(600), "?override=REASON"):
        assert told in refused[0].json["message"]
    assert left == before
    assert (edited.status_code, edited.json["enabled"]) == (200, False)
    entry = admin.get(f"{FLAG}/history").json["entries"][0]
    assert entry["after"]["despiteHold"] == {"holdId": frozen["id"], "reason": "the shop is down"}
    assert admin.post(f"{FLAG}/users?override=a+tester", json=eve).status_code == 201
    assert admin.delete(f"{FLAG}/users/eve").status_code == 409
    assert admin.delete(f"{FLAG}/users/eve?override=done").status_code == 204
    assert admin.delete(f"{FLAG}?override=gone").status_code == 204


def test_what_is_planned_is_not_refused_by_a_freeze_and_takes_effect_behind_it(
    admin: FlaskClient, clock: ManualClock
) -> None:
    admin.post(OF_ENVIRONMENT, json=WHY | {"refuseEdits": True, "until": at(600)})

    step = plan(admin, 60, 50)

    assert admin.get(f"{SCHEDULE}/{step}").json["takesEffectAt"] == at(600)
    clock.advance(seconds=599)
    assert state(admin) == (True, 10)
    clock.advance(seconds=1)
    assert state(admin) == (True, 50)


@pytest.mark.parametrize("blank", ["", "%20%20"])
def test_a_blank_override_is_refused(admin: FlaskClient, blank: str) -> None:
    eve = {"userId": "eve", "override": "include"}

    answers = [
        admin.patch(f"{FLAG}?override={blank}", json={"enabled": True}),
        admin.delete(f"{FLAG}?override={blank}"),
        admin.post(f"{FLAG}/users?override={blank}", json=eve),
        admin.delete(f"{FLAG}/users/eve?override={blank}"),
    ]

    assert [one.json.get("details") for one in answers] == [{"override": ["must not be empty"]}] * 4


def test_holding_again_with_the_same_key_holds_once(admin: FlaskClient, engine: sa.Engine) -> None:
    key = {"Idempotency-Key": "a-key"}
    asked = WHY | {"updates": {"enabled": False}}

    answers = [admin.post(OF_FLAG, json=asked, headers=key) for _ in range(2)]
    another = admin.post(OF_FLAG, json=WHY, headers=key)

    assert [one.status_code for one in answers] == [201, 201]
    assert answers[0].json == answers[1].json
    assert (another.status_code, another.json["error"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert count(engine, "feature_flag_holds") == 1
    assert admin.get(FLAG).json["version"] == 2


def test_a_plan_is_held_and_released_with_its_flags(admin: FlaskClient, clock: ManualClock) -> None:
    assert admin.post(FLAGS, json={"key": "wishlist"}).status_code == 201
    steps = [{"updates": {"rolloutPercentage": 50}}, {"after": "PT1M", "updates": {"rolloutPercentage": 100}}]
    body = {"flags": ["new-checkout", "wishlist"], "startAt": at(60), "steps": steps}
    plan_id = admin.post(PLANS, json=body).json["plan"]["id"]

    placed = admin.post(f"{PLANS}/{plan_id}/holds", json=WHY)
    told = admin.get(f"{PLANS}/{plan_id}").json
    clock.advance(seconds=90)
    asleep = state(admin)
    released = admin.post(f"{PLANS}/{plan_id}/release", json={})

    assert placed.status_code == 201
    assert sorted(one["flagKey"] for one in placed.json["holds"]) == ["new-checkout", "wishlist"]
    assert {one["planId"] for one in placed.json["holds"]} == {plan_id}
    assert told["plan"]["status"] == "held"
    assert asleep == (True, 10)
    assert [one["status"] for one in released.json["holds"]] == ["over", "over"]
    assert state(admin) == (True, 50)
    again = admin.post(f"{PLANS}/{plan_id}/release", json={})
    assert (again.status_code, again.json["error"]) == (404, "HOLD_NOT_FOUND")


def test_a_hold_is_given_another_end_and_none(admin: FlaskClient, clock: ManualClock) -> None:
    hold = held(admin, until=at(60))
    path = f"{HOLDS}/{hold['id']}"

    later = admin.patch(path, json={"until": at(120), "then": "skip"}).json
    opened = admin.patch(path, json={"until": None, "reason": "nobody knows why"}).json
    clock.advance(seconds=3600)

    assert (later["until"], later["then"], later["reason"]) == (at(120), "skip", "checkout fails")
    assert (opened["until"], opened["then"], opened["reason"]) == (None, "skip", "nobody knows why")
    assert admin.get(path).json["status"] == "active"
    assert release(admin, hold)["then"] == "skip"
    refused = [admin.patch(path, json={"then": "skip"}), admin.post(f"{path}/release", json={})]
    assert {(one.status_code, one.json["error"]) for one in refused} == {(409, "HOLD_OVER")}


def test_holds_are_listed_page_by_page(admin: FlaskClient) -> None:
    ids = [held(admin, **{"from": at(10 * n)})["id"] for n in range(1, 6)]
    held(admin)
    frozen = admin.post(OF_ENVIRONMENT, json=WHY | {"from": at(100)}).json["id"]

    pages = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"flagKey": "new-checkout", "status": "upcoming", "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = admin.get(HOLDS, query_string=query).json
        pages.append([one["id"] for one in page["holds"]])
        cursor = page["nextCursor"]

    assert pages == [ids[:2], ids[2:4], [ids[4], frozen]]
    assert len(admin.get(HOLDS).json["holds"]) == 7
    assert admin.get(f"{HOLDS}?environment=staging").json == {"holds": [], "nextCursor": None}
    assert admin.get(f"{HOLDS}?flagKey=no-such").json["error"] == "FLAG_NOT_FOUND"


REFUSED: dict[str, tuple[str, Body, dict[str, list[str]]]] = {
    "no reason": (OF_FLAG, {}, {"reason": ["is required"]}),
    "an empty reason": (OF_FLAG, {"reason": "  "}, {"reason": ["must not be empty"]}),
    "a past beginning": (
        OF_FLAG, WHY | {"from": at(-1)}, {"from": ["must not be in the past: leave it out for now"]},
    ),
    "a past end": (OF_FLAG, WHY | {"until": at(-1)}, {"until": ["must be after the hold's beginning"]}),
    "no length": (
        OF_FLAG, WHY | {"from": at(9), "until": at(9)}, {"until": ["must be after the hold's beginning"]},
    ),
    "an end that is none": (
        OF_FLAG, WHY | {"then": "shift"}, {"then": ["must be one of: catchUp, skip"]},
    ),
    "updates of nothing": (OF_FLAG, WHY | {"updates": {}}, {"updates": []}),
    "updates for later": (
        OF_FLAG,
        WHY | {"from": at(9), "updates": {"enabled": False}},
        {"updates": ["must not be set with from: they are set at once, the hold begins later"]},
    ),
    "updates of an environment": (
        OF_ENVIRONMENT, WHY | {"updates": {"enabled": False}}, {"updates": ["is not a field of this object"]},
    ),
    "an instant without an offset": (OF_ENVIRONMENT, WHY | {"from": "2096-06-01T13:00:00"}, {"from": []}),
    "a text for a boolean": (OF_ENVIRONMENT, WHY | {"refuseEdits": "true"}, {"refuseEdits": []}),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_hold_that_is_refused_says_why_and_stores_nothing(admin: FlaskClient, engine: sa.Engine, name: str) -> None:
    path, body, why = REFUSED[name]
    before = everything(engine)

    answer = admin.post(path, json=body)

    assert (answer.status_code, answer.json["error"]) == (400, "Validation failed")
    assert [*answer.json["details"]] == [*why]
    for field, messages in why.items():
        assert messages in ([], answer.json["details"][field])
    assert everything(engine) == before


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", f"{FLAGS}/no-such/holds", "FLAG_NOT_FOUND"),
        ("POST", "/api/admin/environments/no-such/holds", "ENVIRONMENT_NOT_FOUND"),
        ("POST", "/api/admin/environments/NO SUCH/holds", "ENVIRONMENT_NOT_FOUND"),
        ("POST", f"{PLANS}/{NOBODY}/holds", "PLAN_NOT_FOUND"),
        ("POST", f"{PLANS}/{NOBODY}/release", "PLAN_NOT_FOUND"),
        ("POST", f"{HOLDS}/{NOBODY}/release", "HOLD_NOT_FOUND"),
        ("PATCH", f"{HOLDS}/{NOBODY}", "HOLD_NOT_FOUND"),
        ("GET", f"{HOLDS}/{NOBODY}", "HOLD_NOT_FOUND"),
        ("GET", f"{HOLDS}/1", "NOT_FOUND"),
    ],
)
def test_what_there_is_not_is_404(admin: FlaskClient, method: str, path: str, code: str) -> None:
    body = None if method == "GET" else {} if path.endswith("release") else WHY
    answer = admin.open(path, method=method, json=body)

    assert (answer.status_code, answer.json["error"]) == (404, code)


@pytest.mark.parametrize(
    ("updates", "status"), [({"enabled": False}, 201), ({"enabled": True}, 403), ({"rolloutPercentage": 0}, 403)]
)
def test_an_operator_holds_releases_and_turns_off_and_sets_nothing_else(
    anyone: FlaskClient, admin: FlaskClient, updates: Body, status: int
) -> None:
    operator = {"Authorization": f"Bearer {signed(role='operator')}"}
    before = admin.get(FLAG).json

    answer = anyone.post(OF_FLAG, json=WHY | {"updates": updates}, headers=operator)

    assert answer.status_code == status
    if status == 201:
        assert state(admin) == (False, 10)
        assert anyone.post(f"{HOLDS}/{answer.json['id']}/release", json={}, headers=operator).status_code == 200
    else:
        assert answer.json["error"] == "FORBIDDEN"
        assert admin.get(FLAG).json == before


def test_a_hold_answers_where_it_is(admin: FlaskClient) -> None:
    answer = admin.post(OF_FLAG, json=WHY)

    assert admin.get(urljoin(OF_FLAG, answer.headers["Location"])).json == answer.json
