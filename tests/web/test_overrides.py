"""Users who are set apart, over HTTP, on every database."""

from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from flagsched.web.schemas.overrides import USER_MESSAGE
from tests.builders import ManualClock
from tests.rows import all_history, count

FLAG = "/api/admin/flags/new-checkout"
USERS = f"{FLAG}/users"
ONE = "/ofrep/v1/evaluate/flags/new-checkout"


@pytest.fixture(autouse=True)
def flag(admin: FlaskClient) -> None:
    body = {"key": "new-checkout", "enabled": True, "rolloutPercentage": 0}
    assert admin.post("/api/admin/flags", json=body).status_code == 201


def set_apart(admin: FlaskClient, user: str = "ada", override: str = "include", **more: Any) -> Any:
    return admin.post(USERS, json={"userId": user, "override": override, **more})


def evaluate(anyone: FlaskClient, user: str) -> tuple[bool, str]:
    answer = anyone.post(ONE, json={"context": {"targetingKey": user}}).json
    return answer["value"], answer["reason"]


def test_testers_are_let_in_at_nought_per_cent(admin: FlaskClient, anyone: FlaskClient) -> None:
    answer = set_apart(admin, reason="tests the checkout")

    assert answer.status_code == 201
    assert answer.json == {
        "userId": "ada",
        "override": "include",
        "reason": "tests the checkout",
        "createdBy": "ada",
        "createdAt": "2096-06-01T12:00:00Z",
    }
    assert (evaluate(anyone, "ada"), evaluate(anyone, "bob")) == ((True, "TARGETING_MATCH"), (False, "STATIC"))


def test_an_excluded_user_keeps_out_at_a_hundred_per_cent_and_nobody_is_in_when_it_is_off(
    admin: FlaskClient, anyone: FlaskClient, clock: ManualClock
) -> None:
    set_apart(admin, "ada", "include")
    set_apart(admin, "bob", "exclude")
    admin.patch(FLAG, json={"rolloutPercentage": 100})

    assert (evaluate(anyone, "ada"), evaluate(anyone, "bob")) == ((True, "TARGETING_MATCH"), (False, "TARGETING_MATCH"))
    admin.patch(FLAG, json={"enabled": False})
    clock.advance(seconds=1)
    assert (evaluate(anyone, "ada"), evaluate(anyone, "bob")) == ((False, "DISABLED"),) * 2


def test_an_override_changes_neither_version_nor_plan_but_is_in_the_history(
    admin: FlaskClient, engine: sa.Engine
) -> None:
    before = admin.get(FLAG)

    set_apart(admin, reason="a")
    set_apart(admin, override="exclude")
    removed = admin.delete(f"{USERS}/ada")

    assert (removed.status_code, removed.data) == (204, b"")
    assert (admin.get(FLAG).json, admin.get(FLAG).headers["ETag"]) == (before.json, before.headers["ETag"])
    included = {"userId": "ada", "override": "include", "reason": "a"}
    excluded = {"userId": "ada", "override": "exclude", "reason": ""}
    assert [(e.action, e.before, e.after, e.flag_version) for e in all_history(engine)[1:]] == [
        ("override.set", None, included, 1),
        ("override.set", included, excluded, 1),
        ("override.removed", excluded, None, 1),
    ]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT revision FROM feature_flag_environments").scalar_one() == 4


def test_overrides_are_listed_by_user_page_by_page(admin: FlaskClient) -> None:
    for user in ("b", "a", "C"):
        set_apart(admin, user)

    first = admin.get(f"{USERS}?limit=2").json
    rest = admin.get(f"{USERS}?limit=2&cursor={first['nextCursor']}").json

    assert [one["userId"] for one in first["users"]] == ["C", "a"]
    assert ([one["userId"] for one in rest["users"]], rest["nextCursor"]) == (["b"], None)


@pytest.mark.parametrize(
    "user", ["ada@example.com", "ユーザー 1", "%41", "a?b#c", "a/b", "a/", "a//b", "a/..", "...", "🚀" * 256]
)
def test_a_user_is_named_in_a_path_as_he_is(admin: FlaskClient, user: str) -> None:
    set_apart(admin, user)

    assert admin.get(f"{USERS}/{quote(user, safe='')}").json["userId"] == user
    assert admin.delete(f"{USERS}/{quote(user, safe='')}").status_code == 204
    gone = admin.get(f"{USERS}/{quote(user, safe='')}")
    assert (gone.status_code, gone.json["error"]) == (404, "OVERRIDE_NOT_FOUND")
    assert admin.delete(f"{USERS}/{quote(user, safe='')}").status_code == 404


BAD = [
    ({"userId": "", "override": "include"}, {"userId": [USER_MESSAGE]}),
    ({"userId": "a\n", "override": "include"}, {"userId": [USER_MESSAGE]}),
    ({"userId": 7, "override": "include"}, {"userId": [USER_MESSAGE]}),
    ({"userId": "ada", "override": "maybe"}, {"override": ["must be one of: include, exclude"]}),
    ({"userId": "ada", "override": True}, {"override": ["must be a string"]}),
    ({"override": "include"}, {"userId": ["is required"]}),
    ({"userId": "ada", "override": "include", "until": "then"}, {"until": ["is not a field of this object"]}),
]


@pytest.mark.parametrize(("body", "details"), BAD)
def test_what_is_wrong_is_named_and_nothing_is_stored(
    admin: FlaskClient, engine: sa.Engine, body: dict[str, Any], details: dict[str, Any]
) -> None:
    answer = admin.post(USERS, json=body)

    assert (answer.status_code, answer.json["details"]) == (400, details)
    assert count(engine, "feature_flag_overrides") == 0


def test_a_repeated_request_sets_a_user_apart_once(admin: FlaskClient, engine: sa.Engine) -> None:
    body = {"userId": "ada", "override": "include"}

    answers = [admin.post(USERS, json=body, headers={"Idempotency-Key": "one"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert len(all_history(engine)) == 2


def test_a_flag_has_only_so_many(admin: FlaskClient, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        flag_id = connection.exec_driver_sql("SELECT id FROM feature_flags").scalar_one()
        rows = [{"flag": flag_id, "user": f"user-{n}"} for n in range(10_000)]
        columns = "(flag_id, user_id, override_type, reason, created_by, created_at)"
        values = "(:flag, :user, 'include', '', 'ada', '2096-06-01 12:00:00')"
        connection.execute(sa.text(f"INSERT INTO feature_flag_overrides {columns} VALUES {values}"), rows)

    full = set_apart(admin, "one-more")

    assert (full.status_code, full.json["error"]) == (409, "QUOTA_EXCEEDED")
    assert set_apart(admin, "user-7", "exclude").status_code == 201


def test_an_archived_flag_and_a_missing_one_have_no_users(admin: FlaskClient) -> None:
    set_apart(admin)
    admin.delete(FLAG)

    for answer in (set_apart(admin), admin.get(USERS), admin.get(f"{USERS}/ada"), admin.delete(f"{USERS}/ada")):
        assert (answer.status_code, answer.json["error"]) == (404, "FLAG_NOT_FOUND")
