"""/api/admin/flags/:flagKey/schedule, as clients see it."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urljoin

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.materialise import materialise_due
from tests.builders import NOON, ManualClock, after
from tests.recorder import inserts, recorded
from tests.rows import all_history, all_schedules, count

FLAG = "/api/admin/flags/new-checkout"
SCHEDULE = f"{FLAG}/schedule"
BULK = f"{SCHEDULE}/bulk"
ROLLED_BACK = "Bulk creation failed: all schedules rolled back"
NOT_AN_INSTANT = "must be an RFC 3339 date-time with an offset, like '2027-01-31T09:00:00+09:00'"


@pytest.fixture(autouse=True)
def _a_flag(admin: FlaskClient) -> None:
    assert admin.post("/api/admin/flags", json={"key": "new-checkout", "rolloutPercentage": 0}).status_code == 201


def item(seconds: float, **updates: Any) -> dict[str, Any]:
    return {"scheduledAt": after(seconds).isoformat(), "updates": updates or {"enabled": True}}


def bulk(client: FlaskClient, *items: Any) -> Any:
    return client.post(BULK, json={"schedules": list(items)})


def assert_nothing_was_stored(engine: sa.Engine) -> None:
    assert count(engine, "feature_flag_schedules") == 0
    assert count(engine, "feature_flag_history") == 1


def test_every_bad_item_of_a_bulk_is_named_however_many_there_are(admin: FlaskClient) -> None:
    admin.post("/api/admin/flags", json={"key": "x"})
    items = [{"scheduledAt": "soon", "updates": {"enabled": True}}] * 50

    answer = admin.post("/api/admin/flags/x/schedule/bulk", json={"schedules": items})

    assert answer.status_code == 400
    assert list(answer.get_json()["details"]["schedules"]) == [str(n) for n in range(50)]


def test_a_single_schedule_is_created_pending(admin: FlaskClient) -> None:
    answer = admin.post(SCHEDULE, json=item(60, enabled=True, rolloutPercentage=25))

    assert answer.status_code == 201
    assert answer.json == {
        "id": answer.json["id"],
        "batchId": None,
        "flagKey": "new-checkout",
        "environment": "production",
        "scheduledAt": "2096-06-01T12:01:00Z",
        "localTime": None,
        "timeZone": None,
        "status": "pending",
        "takesEffectAt": "2096-06-01T12:01:00Z",
        "heldBy": None,
        "statusReason": None,
        "inEffect": False,
        "updates": {"enabled": True, "rolloutPercentage": 25},
        "override": None,
        "onlyIf": None,
        "appliedAt": None,
        "errorMessage": None,
        "createdBy": "ada",
        "createdAt": "2096-06-01T12:00:00Z",
        "updatedAt": "2096-06-01T12:00:00Z",
        "cancelledBy": None,
        "cancelledAt": None,
    }
    assert admin.get(f"{SCHEDULE}/{answer.json['id']}").json == answer.json


def test_a_phased_rollout_of_five_takes_effect_step_by_step(
    admin: FlaskClient, anyone: FlaskClient, clock: ManualClock, store: SqlStore
) -> None:
    steps = [0, 25, 50, 75, 100]
    answer = bulk(admin, *(item(60 * (n + 1), enabled=True, rolloutPercentage=step) for n, step in enumerate(steps)))
    assert answer.status_code == 201
    assert [s["updates"]["rolloutPercentage"] for s in answer.json["schedules"]] == steps

    seen = []
    for _ in steps:
        clock.advance(minutes=1)
        seen.append(anyone.get("/api/config/flags/new-checkout").json["rolloutPercentage"])
        materialise_due(store, Backoff(lambda: 0.0))

    assert seen == steps
    assert [s["status"] for s in admin.get(SCHEDULE).json] == ["applied"] * 5


@pytest.mark.parametrize("size", [1, 2, 5, 50])
def test_a_bulk_answers_in_the_order_of_the_request(admin: FlaskClient, engine: sa.Engine, size: int) -> None:
    seconds = [((7 * n) % 53) + 1 for n in range(size)]

    with recorded(engine) as statements:
        answer = bulk(admin, *(item(s, rolloutPercentage=s) for s in seconds))

    schedules = answer.json["schedules"]
    assert answer.status_code == 201
    assert [s["updates"] for s in schedules] == [{"rolloutPercentage": s} for s in seconds]
    assert {s["status"] for s in schedules} == {"pending"}
    assert {(s["createdAt"], s["updatedAt"]) for s in schedules} == {("2096-06-01T12:00:00Z",) * 2}
    assert len({s["batchId"] for s in schedules}) == 1
    assert schedules[0]["batchId"] is not None
    assert len({s["id"] for s in schedules}) == size
    assert inserts(statements, "feature_flag_schedules") == 1
    assert count(engine, "feature_flag_schedules") == size
    assert sum(e.action == "schedule.created" for e in all_history(engine)) == size


def test_a_bulk_is_listed_in_order_of_time(admin: FlaskClient) -> None:
    bulk(admin, item(30), item(10), item(20))

    listed = admin.get(SCHEDULE).json

    assert [s["scheduledAt"] for s in listed] == [f"2096-06-01T12:00:{s}Z" for s in (10, 20, 30)]


def test_a_bulk_of_mixed_updates_keeps_each_as_asked(admin: FlaskClient) -> None:
    all_updates: list[dict[str, Any]] = [
        {"enabled": True},
        {"rolloutPercentage": 0},
        {"enabled": False, "rolloutPercentage": 7},
    ]

    answer = bulk(admin, *(item(n + 1, **updates) for n, updates in enumerate(all_updates)))

    assert [s["updates"] for s in answer.json["schedules"]] == all_updates


def test_the_request_id_stands_in_the_answer_and_in_the_history(admin: FlaskClient, engine: sa.Engine) -> None:
    answer = admin.post(SCHEDULE, json=item(60), headers={"X-Request-Id": "deploy-4711"})

    assert answer.headers["X-Request-Id"] == "deploy-4711"
    assert all_history(engine)[-1].request_id == "deploy-4711"


@pytest.mark.parametrize("size", [0, 51, 20_000])
def test_a_bulk_of_a_wrong_size_is_refused(admin: FlaskClient, engine: sa.Engine, size: int) -> None:
    answer = admin.post(BULK, json={"schedules": [1] * size})

    assert answer.status_code == 400
    assert answer.json["error"] == "Validation failed"
    assert answer.json["message"] == ROLLED_BACK
    assert answer.json["details"] == {"schedules": [f"must have 1 to 50 items, not {size}"]}
    assert_nothing_was_stored(engine)


INVALID_ITEMS: dict[str, tuple[Any, Any]] = {
    "no updates": ({"scheduledAt": "2096-06-01T13:00:00Z"}, {"updates": ["is required, unless override is given"]}),
    "empty updates": (item(9) | {"updates": {}}, {"updates": ["must set enabled, rolloutPercentage or both"]}),
    "null updates": (item(9) | {"updates": None}, {"updates": ["must not be null"]}),
    "updates no object": (item(9) | {"updates": [1]}, {"updates": ["must be a JSON object"]}),
    "unknown update": (item(9, name="x"), {"updates": {"name": ["is not a field of this object"]}}),
    "string for a boolean": (item(9, enabled="true"), {"updates": {"enabled": ["must be true or false"]}}),
    "number for a boolean": (item(9, enabled=1), {"updates": {"enabled": ["must be true or false"]}}),
    "null for a boolean": (item(9, enabled=None), {"updates": {"enabled": ["must not be null"]}}),
    **{
        f"{percentage!r} per cent": (
            item(9, rolloutPercentage=percentage),
            {"updates": {"rolloutPercentage": ["must be an integer from 0 to 100"]}},
        )
        for percentage in (-1, 101, 25.0, "25", True, 10**40)
    },
    "no instant": ({"updates": {"enabled": True}}, {"scheduledAt": ["is required"]}),
    "no RFC 3339": (item(9) | {"scheduledAt": "tomorrow"}, {"scheduledAt": [NOT_AN_INSTANT]}),
    "no offset": (
        item(9) | {"scheduledAt": "2096-06-01T13:00:00"},
        {"scheduledAt": ["must have an offset at its end: 'Z', or one like '+09:00'"]},
    ),
    "a number for an instant": (
        item(9) | {"scheduledAt": 1780318800},
        {"scheduledAt": ["must be a string like '2027-01-31T09:00:00+09:00', not a number"]},
    ),
    "no day of the calendar": (
        item(9) | {"scheduledAt": "2026-02-30T13:00:00Z"},
        {"scheduledAt": ["is not a date: 2026-02 has the days 01 to 28"]},
    ),
    "past the calendar's end": (
        item(9) | {"scheduledAt": "9999-12-31T23:59:59-14:00"},
        {"scheduledAt": ["must be in the years 0001 to 9999 also in UTC"]},
    ),
    "unknown field": (item(9) | {"note": "x"}, {"note": ["is not a field of this object"]}),
    "no object": (7, ["must be a JSON object"]),
    "null": (None, ["must not be null"]),
}


@pytest.mark.parametrize("name", INVALID_ITEMS)
def test_an_invalid_item_refuses_the_bulk_and_is_named(admin: FlaskClient, engine: sa.Engine, name: str) -> None:
    invalid, details = INVALID_ITEMS[name]

    answer = bulk(admin, item(1), invalid, item(2))

    assert answer.status_code == 400
    assert answer.json["message"] == ROLLED_BACK
    assert answer.json["details"] == {"schedules": {"1": details}}
    assert_nothing_was_stored(engine)


@pytest.mark.parametrize("name", [name for name, (body, _) in INVALID_ITEMS.items() if isinstance(body, dict)])
def test_a_single_schedule_is_judged_like_an_item_of_a_bulk(admin: FlaskClient, engine: sa.Engine, name: str) -> None:
    invalid, details = INVALID_ITEMS[name]

    answer = admin.post(SCHEDULE, json=invalid)

    assert answer.status_code == 400
    assert answer.json["details"] == details
    assert_nothing_was_stored(engine)


def test_every_invalid_item_is_named_with_field_and_reason(admin: FlaskClient, engine: sa.Engine) -> None:
    answer = bulk(admin, item(1), item(2, rolloutPercentage=200), item(3), {"updates": {"enabled": 0}}, item(4))

    assert answer.json["details"] == {
        "schedules": {
            "1": {"updates": {"rolloutPercentage": ["must be an integer from 0 to 100"]}},
            "3": {"scheduledAt": ["is required"], "updates": {"enabled": ["must be true or false"]}},
        }
    }
    assert_nothing_was_stored(engine)


def test_five_valid_and_one_past_create_nothing_and_the_sixth_is_named(admin: FlaskClient, engine: sa.Engine) -> None:
    answer = bulk(admin, *(item(n) for n in (1, 2, 3, 4, 5)), item(-1))

    assert answer.status_code == 400
    assert answer.json["error"] == "Validation failed"
    assert answer.json["message"] == ROLLED_BACK
    assert answer.json["details"] == {"schedules": {"5": {"scheduledAt": ["must be in the future"]}}}
    assert_nothing_was_stored(engine)


def test_every_past_instant_is_named_and_now_is_past(admin: FlaskClient, engine: sa.Engine) -> None:
    answer = bulk(admin, item(-60), item(60), item(0))

    assert list(answer.json["details"]["schedules"]) == ["0", "2"]
    assert_nothing_was_stored(engine)


def test_a_single_past_schedule_is_refused(admin: FlaskClient, engine: sa.Engine) -> None:
    answer = admin.post(SCHEDULE, json=item(-1))

    assert answer.status_code == 400
    assert answer.json["message"] == "The request is not valid"
    assert answer.json["details"] == {"scheduledAt": ["must be in the future"]}
    assert_nothing_was_stored(engine)


def test_equal_instants_are_refused_whatever_offset_they_are_written_with(
    admin: FlaskClient, engine: sa.Engine
) -> None:
    in_tokyo = after(10).astimezone(timezone(timedelta(hours=9))).isoformat()
    finer = (after(10) + timedelta(microseconds=999)).isoformat()

    answer = bulk(admin, item(10), item(11), item(0) | {"scheduledAt": in_tokyo}, item(0) | {"scheduledAt": finer})

    assert answer.status_code == 400
    assert answer.json["error"] == "Validation failed"
    assert answer.json["message"] == "Duplicate scheduledAt times detected in batch"
    assert answer.json["details"] == {
        "schedules": {
            "2": {"scheduledAt": ["is the same instant as in schedules[0]"]},
            "3": {"scheduledAt": ["is the same instant as in schedules[0]"]},
        }
    }
    assert_nothing_was_stored(engine)


def test_instants_a_millisecond_apart_are_not_equal(admin: FlaskClient) -> None:
    assert bulk(admin, item(10), item(10.001)).status_code == 201


def test_invalid_items_are_told_before_duplicates(admin: FlaskClient, engine: sa.Engine) -> None:
    answer = bulk(admin, item(10), item(10), item(11, enabled="no"))

    assert answer.json["message"] == ROLLED_BACK
    assert list(answer.json["details"]["schedules"]) == ["2"]
    assert_nothing_was_stored(engine)


@pytest.mark.parametrize("path", [SCHEDULE, BULK])
def test_the_plan_of_an_unknown_flag_is_not_found(admin: FlaskClient, engine: sa.Engine, path: str) -> None:
    body = {"schedules": [item(10)]} if path == BULK else item(10)

    answer = admin.post(path.replace("new-checkout", "unknown"), json=body)

    assert answer.status_code == 404
    assert answer.json["error"] == "FLAG_NOT_FOUND"
    assert_nothing_was_stored(engine)


def test_a_flag_archived_meanwhile_is_not_found(admin: FlaskClient, engine: sa.Engine) -> None:
    admin.delete(FLAG)

    answer = bulk(admin, item(10))

    assert answer.status_code == 404
    assert count(engine, "feature_flag_schedules") == 0


def test_a_flag_is_planned_in_its_environment(admin: FlaskClient) -> None:
    answer = admin.post(f"{BULK}?environment=staging", json={"schedules": [item(10)]})
    assert answer.status_code == 404

    admin.post("/api/admin/flags?environment=staging", json={"key": "new-checkout"})
    answer = admin.post(f"{BULK}?environment=staging", json={"schedules": [item(10)]})

    assert answer.json["schedules"][0]["environment"] == "staging"
    assert admin.get(SCHEDULE).json == []
    assert len(admin.get(f"{SCHEDULE}?environment=staging").json) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"{} {}", "is not JSON"),
        (b'{"schedules": NaN}', "is not a JSON value"),
        (b'{"schedules": 1e400}', "is too large"),
        (b'{"schedules": [], "schedules": []}', "appears twice"),
        (b"\xff\xfe", "is not JSON"),
        ('{"schedules": []}'.encode("utf-16"), "is not JSON"),
        (b'\xef\xbb\xbf{"schedules": []}', "is not JSON: it begins with a byte order mark"),
        (b"[" * 5000 + b"]" * 5000, "is nested too deep"),
        (b"9" * 5000, "has a number of more than 4300 digits"),
    ],
    ids=["empty", "cut", "two", "nan", "infinite", "twice", "latin", "utf-16", "bom", "deep", "digits"],
)
def test_a_body_that_is_not_json_is_refused(admin: FlaskClient, engine: sa.Engine, body: bytes, reason: str) -> None:
    answer = admin.post(BULK, data=body, content_type="application/json")

    assert answer.status_code == 400
    assert reason in answer.json["details"][0]
    assert_nothing_was_stored(engine)


def test_a_name_that_stands_twice_among_many_is_found_at_once(admin: FlaskClient) -> None:
    names = [f'"{n}":0' for n in range(99)]
    body = "{" + ",".join([*names, '"98":0']) + "}"
    answer = admin.post(BULK, data=body, content_type="application/json")

    assert answer.status_code == 400
    assert "'98' appears twice" in answer.text


def test_another_media_type_is_refused(admin: FlaskClient, engine: sa.Engine) -> None:
    answer = admin.post(BULK, data="schedules=1", content_type="application/x-www-form-urlencoded")

    assert answer.status_code == 415
    assert answer.json["error"] == "UNSUPPORTED_MEDIA_TYPE"
    assert_nothing_was_stored(engine)


def test_a_body_that_is_too_large_is_refused(admin: FlaskClient, engine: sa.Engine) -> None:
    answer = admin.post(BULK, data=b" " * 300_000, content_type="application/json")

    assert answer.status_code == 413
    assert answer.json["error"] == "REQUEST_ENTITY_TOO_LARGE"
    assert_nothing_was_stored(engine)


def test_a_cancelled_schedule_says_by_whom(admin: FlaskClient, clock: ManualClock) -> None:
    created = admin.post(SCHEDULE, json=item(60)).json
    clock.advance(seconds=5)

    answer = admin.delete(f"{SCHEDULE}/{created['id']}")

    at = "2096-06-01T12:00:05Z"
    assert answer.status_code == 200
    assert answer.json == created | {
        "status": "cancelled",
        "takesEffectAt": None,
        "cancelledBy": "ada",
        "cancelledAt": at,
        "updatedAt": at,
    }
    again = admin.delete(f"{SCHEDULE}/{created['id']}")
    assert (again.status_code, again.json["error"]) == (409, "ALREADY_CANCELLED")


def test_what_is_in_effect_cannot_be_cancelled(admin: FlaskClient, clock: ManualClock) -> None:
    created = admin.post(SCHEDULE, json=item(60)).json
    clock.advance(seconds=60)

    answer = admin.delete(f"{SCHEDULE}/{created['id']}")

    assert (answer.status_code, answer.json["error"]) == (409, "ALREADY_APPLIED")
    at = "2096-06-01T12:01:00Z"
    recorded = {"inEffect": True, "takesEffectAt": None, "status": "applied", "appliedAt": at}
    assert admin.get(f"{SCHEDULE}/{created['id']}").json == created | recorded


@pytest.mark.parametrize(
    ("schedule_id", "code"),
    [
        ("00000000-0000-0000-0000-000000000000", "SCHEDULE_NOT_FOUND"),
        ("x", "NOT_FOUND"),
        ("%00", "NOT_FOUND"),
        ("{00000000-0000-0000-0000-000000000000}", "NOT_FOUND"),
    ],
)
def test_a_schedule_that_does_not_exist_is_not_found(admin: FlaskClient, schedule_id: str, code: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        answer = admin.open(f"{SCHEDULE}/{schedule_id}", method=method, json={"updates": {"enabled": True}})
        assert (answer.status_code, answer.json["error"]) == (404, code)
        assert "URL" not in answer.json["message"]


@pytest.mark.parametrize("path", ["bulk", "preview"])
def test_what_can_only_be_posted_says_so_and_is_no_schedule_that_does_not_exist(admin: FlaskClient, path: str) -> None:
    for method in ("GET", "HEAD", "PATCH", "DELETE", "PUT"):
        answer = admin.open(f"{SCHEDULE}/{path}", method=method)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("prefix", ["", "/flags", "/flags/staging"])
def test_schedules_are_listed_page_by_page_along_the_link(admin: FlaskClient, prefix: str) -> None:
    bulk(admin, *(item(n) for n in (5, 3, 1, 4, 2)))
    origin = f"https://proxy.example{prefix}"

    seen, pages, link = [], 0, f"{origin}{SCHEDULE}?limit=2&status=pending&environment=production"
    while link:
        answer = admin.get(link.removeprefix(origin))
        seen += [s["scheduledAt"][-3:-1] for s in answer.json]
        relative = answer.headers.get("Link", "").partition(">")[0].removeprefix("<")
        link = relative and urljoin(link, relative)
        pages += 1

    assert (seen, pages) == (["01", "02", "03", "04", "05"], 3)


def test_schedules_are_listed_by_status(admin: FlaskClient, clock: ManualClock, store: SqlStore) -> None:
    bulk(admin, item(10), item(20))
    clock.advance(seconds=10)
    materialise_due(store, Backoff(lambda: 0.0))

    def seconds(status: str) -> list[str]:
        return [s["scheduledAt"][-3:-1] for s in admin.get(f"{SCHEDULE}?status={status}").json]

    assert (seconds("applied"), seconds("pending"), seconds("failed")) == (["10"], ["20"], [])


@pytest.mark.parametrize("query", ["status=done", "limit=1001", "cursor=WzEsMl0=", "cursor=!", "cursor=W10="])
def test_a_list_query_that_is_not_well_formed_is_refused(admin: FlaskClient, query: str) -> None:
    answer = admin.get(f"{SCHEDULE}?{query}")

    assert answer.status_code == 400
    assert list(answer.json["details"]) == [query.split("=", maxsplit=1)[0]]


def test_no_fraction_is_told_unless_it_is_there(admin: FlaskClient) -> None:
    answer = bulk(admin, item(1.5), item(2))

    assert [s["scheduledAt"] for s in answer.json["schedules"]] == ["2096-06-01T12:00:01.500Z", "2096-06-01T12:00:02Z"]


@pytest.mark.parametrize(
    ("client", "status", "code"),
    [("nobody", 401, "UNAUTHORIZED"), ("reader", 403, "FORBIDDEN"), ("Admin", 403, "FORBIDDEN")],
)
def test_only_an_admin_plans(
    anyone: FlaskClient, token: Callable[..., str], engine: sa.Engine, client: str, status: int, code: str
) -> None:
    headers = {} if client == "nobody" else {"Authorization": f"Bearer {token(role=client)}"}

    answer = anyone.post(BULK, json={"schedules": [item(10)]}, headers=headers)

    assert (answer.status_code, answer.json["error"]) == (status, code)
    assert_nothing_was_stored(engine)


def test_the_same_flag_in_bulk_and_single_makes_the_same_rows(admin: FlaskClient, engine: sa.Engine) -> None:
    bulk(admin, item(10, rolloutPercentage=5))
    admin.post(SCHEDULE, json=item(10, rolloutPercentage=5))

    in_bulk, single = all_schedules(engine)

    differing = {name for name in in_bulk._fields if getattr(in_bulk, name) != getattr(single, name)}
    assert differing == {"id", "seq", "batch_id"}
    assert in_bulk.scheduled_at == NOON + timedelta(seconds=10)
    assert isinstance(in_bulk.scheduled_at, datetime)
