"""Timelines, previews, revisions, histories and what is coming, as clients see them."""

from typing import Any
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient

from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.materialise import materialise_due
from tests.builders import ManualClock, after

FLAGS = "/api/admin/flags"
FLAG = f"{FLAGS}/new-checkout"
SCHEDULE = f"{FLAG}/schedule"


@pytest.fixture(autouse=True)
def _a_flag(admin: FlaskClient) -> None:
    assert admin.post(FLAGS, json={"key": "new-checkout", "rolloutPercentage": 0}).status_code == 201


def item(seconds: float, **updates: Any) -> dict[str, Any]:
    return {"scheduledAt": after(seconds).isoformat(), "updates": updates or {"enabled": True}}


def bulk(admin: FlaskClient, *items: Any) -> Any:
    answer = admin.post(f"{SCHEDULE}/bulk", json={"schedules": list(items)})
    assert answer.status_code == 201
    return answer.json["schedules"]


def ids_page_by_page(admin: FlaskClient, path: str, name: str) -> list[Any]:
    """All ids of a list, three a page, along the cursors."""
    query: dict[str, Any] = {"limit": 3}
    seen = []
    while True:
        page = admin.get(f"{path}?{urlencode(query)}").json
        seen += [one["id"] for one in page[name]]
        if page["nextCursor"] is None:
            return seen
        query["cursor"] = page["nextCursor"]


def test_a_timeline_reads_as_half_open_segments_with_their_causes(
    admin: FlaskClient, clock: ManualClock, store: SqlStore
) -> None:
    first, second = bulk(admin, item(10, enabled=True), item(20, rolloutPercentage=25))
    clock.advance(seconds=15)

    body = admin.get(f"{FLAG}/timeline").json
    materialise_due(store, Backoff(lambda: 0.0))

    assert body == {
        "segments": [
            {
                "from": "2096-06-01T12:00:00Z",
                "to": "2096-06-01T12:00:10Z",
                "enabled": False,
                "rolloutPercentage": 0,
                "version": 1,
                "cause": {"scheduleId": None, "draft": None, "entryId": 1} | body["segments"][0]["cause"],
            },
            {
                "from": "2096-06-01T12:00:10Z",
                "to": "2096-06-01T12:00:20Z",
                "enabled": True,
                "rolloutPercentage": 0,
                "version": 2,
                "cause": {"scheduleId": first["id"], "draft": None, "entryId": None},
            },
            {
                "from": "2096-06-01T12:00:20Z",
                "to": None,
                "enabled": True,
                "rolloutPercentage": 25,
                "version": 3,
                "cause": {"scheduleId": second["id"], "draft": None, "entryId": None},
            },
        ],
        "passedOver": [],
        "deferred": [],
        "holds": [],
        "nextFrom": None,
    }
    created = admin.get(f"{FLAG}/history").json["entries"][-1]
    assert body["segments"][0]["cause"]["entryId"] == created["id"]
    assert admin.get(f"{FLAG}/timeline").json == body
    cut = admin.get(f"{FLAG}/timeline?from=2096-06-01T12:00:12Z&to=2096-06-01T21:00:18%2B09:00").json["segments"]
    assert [(one["from"], one["to"]) for one in cut] == [("2096-06-01T12:00:12Z", "2096-06-01T12:00:18Z")]


def test_a_preview_shows_what_would_be_and_what_is_in_its_way(admin: FlaskClient) -> None:
    (planned,) = bulk(admin, item(20, rolloutPercentage=25))

    drafts = [item(30, rolloutPercentage=75), item(10, rolloutPercentage=5)]
    preview = admin.post(f"{SCHEDULE}/preview", json={"schedules": drafts})

    assert preview.status_code == 200
    assert [(s["rolloutPercentage"], s["version"], s["cause"]["draft"]) for s in preview.json["segments"]] == [
        (0, 1, None),
        (5, 2, 1),
        (25, 3, None),
        (75, 4, 0),
    ]
    assert preview.json["conflicts"] == [planned]
    assert [one["id"] for one in admin.get(SCHEDULE).json] == [planned["id"]]


def test_a_preview_of_what_cannot_be_created_says_why(admin: FlaskClient) -> None:
    answer = admin.post(f"{SCHEDULE}/preview", json={"schedules": [item(10), item(-1)]})

    assert (answer.status_code, answer.json["message"]) == (400, "The request is not valid")
    assert answer.json["details"] == {"schedules": {"1": {"scheduledAt": ["must be in the future"]}}}


def test_a_schedule_is_given_another_instant_and_other_updates(admin: FlaskClient, clock: ManualClock) -> None:
    (planned,) = bulk(admin, item(10))
    clock.advance(seconds=1)

    answer = admin.patch(f"{SCHEDULE}/{planned['id']}", json=item(30, rolloutPercentage=5))

    assert answer.status_code == 200
    assert answer.json == planned | {
        "scheduledAt": "2096-06-01T12:00:30Z",
        "takesEffectAt": "2096-06-01T12:00:30Z",
        "updates": {"rolloutPercentage": 5},
        "updatedAt": "2096-06-01T12:00:01Z",
    }
    assert admin.get(f"{SCHEDULE}/{planned['id']}").json == answer.json
    assert admin.get(FLAG).json["nextChangeAt"] == "2096-06-01T12:00:30Z"


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ({}, ["must set scheduledAt, updates, override or onlyIf"]),
        ({"updates": {}}, {"updates": ["must set enabled, rolloutPercentage or both"]}),
        ({"updates": None}, {"updates": ["must not be null"]}),
        ({"scheduledAt": None}, {"scheduledAt": ["must not be null"]}),
        ({"status": "applied"}, {"status": ["is not a field of this object"]}),
        ({"scheduledAt": "2096-06-01T12:00:00Z"}, {"scheduledAt": ["must be in the future"]}),
        ({"scheduledAt": "2097-06-03T12:00:00Z"}, {"scheduledAt": ["must be at most 366 days ahead"]}),
    ],
)
def test_an_edit_that_is_not_valid_says_what_where_and_why(admin: FlaskClient, body: Any, details: Any) -> None:
    (planned,) = bulk(admin, item(10))

    answer = admin.patch(f"{SCHEDULE}/{planned['id']}", json=body)

    assert (answer.status_code, answer.json["details"]) == (400, details)
    assert admin.get(f"{SCHEDULE}/{planned['id']}").json == planned


def test_what_is_in_effect_is_neither_edited_nor_cancelled(admin: FlaskClient, clock: ManualClock) -> None:
    (planned,) = bulk(admin, item(10))
    clock.advance(seconds=10)
    path = f"{SCHEDULE}/{planned['id']}"

    refused = [admin.patch(path, json=item(30)), admin.patch(path, json=item(-30)), admin.delete(path)]

    assert {(one.status_code, one.json["error"]) for one in refused} == {(409, "ALREADY_APPLIED")}


def test_a_plan_is_stale_once_it_is_cancelled(admin: FlaskClient) -> None:
    (planned,) = bulk(admin, item(10))
    path = f"{SCHEDULE}/{planned['id']}"
    admin.delete(path)

    answer = admin.patch(path, json=item(30))

    assert (answer.status_code, answer.json["error"]) == (409, "ALREADY_CANCELLED")


def test_what_is_coming_is_listed_over_all_flags(admin: FlaskClient) -> None:
    batch = bulk(admin, item(10), item(30))
    admin.post(FLAGS, json={"key": "other"})
    other = admin.post(f"{FLAGS}/other/schedule", json=item(20)).json
    admin.delete(f"{SCHEDULE}/{batch[1]['id']}")

    def listed(**query: Any) -> list[str]:
        return [one["id"] for one in admin.get(f"/api/admin/schedules?{urlencode(query)}").json["schedules"]]

    assert listed() == [batch[0]["id"], other["id"]]
    assert listed(status="any") == [batch[0]["id"], other["id"], batch[1]["id"]]
    assert listed(batchId=batch[0]["batchId"]) == [one["id"] for one in batch]
    assert listed(batchId=batch[0]["batchId"], status="pending") == [batch[0]["id"]]
    assert listed(**{"from": after(15).isoformat(), "to": after(25).isoformat()}) == [other["id"]]
    assert listed(environment="staging") == []


def test_pages_of_what_is_coming_follow_their_cursor(admin: FlaskClient) -> None:
    batch = bulk(admin, *(item(10 + n) for n in range(7)))

    assert ids_page_by_page(admin, "/api/admin/schedules", "schedules") == [one["id"] for one in batch]


def test_the_history_tells_who_did_what_and_when_it_took_effect(
    admin: FlaskClient, clock: ManualClock, store: SqlStore
) -> None:
    (planned,) = bulk(admin, item(10))
    clock.advance(seconds=15)
    materialise_due(store, Backoff(lambda: 0.0))

    entries = admin.get(f"{FLAG}/history").json["entries"]

    assert [one["action"] for one in entries] == ["schedule.applied", "schedule.created", "flag.created"]
    assert entries[0] == {
        "id": entries[0]["id"],
        "flagKey": "new-checkout",
        "environment": "production",
        "action": "schedule.applied",
        "scheduleId": planned["id"],
        "version": 2,
        "before": {"enabled": False, "rolloutPercentage": 0},
        "after": {"enabled": True, "rolloutPercentage": 0},
        "actor": "flagsched",
        "requestId": None,
        "effectiveAt": "2096-06-01T12:00:10Z",
        "recordedAt": "2096-06-01T12:00:15Z",
        "undoes": None,
    }
    assert admin.get("/api/admin/history").json["entries"] == entries
    assert admin.get("/api/admin/history?actor=ada&action=flag.created&flagKey=new-checkout").json["entries"] == [
        entries[2]
    ]


@pytest.mark.parametrize("path", [f"{FLAG}/history", "/api/admin/history"])
def test_pages_of_a_history_follow_their_cursor(admin: FlaskClient, path: str) -> None:
    bulk(admin, *(item(10 + n) for n in range(6)))
    whole = [one["id"] for one in admin.get(path).json["entries"]]

    assert len(whole) == 7
    assert ids_page_by_page(admin, path, "entries") == whole


def test_a_flags_etag_changes_with_each_version_recorded_or_not(
    admin: FlaskClient, clock: ManualClock, store: SqlStore
) -> None:
    bulk(admin, item(10))
    first = admin.get(FLAG).headers["ETag"]
    clock.advance(seconds=10)
    second = admin.get(FLAG).headers["ETag"]
    materialise_due(store, Backoff(lambda: 0.0))

    assert first.endswith('.1"')
    assert second.endswith('.2"')
    assert admin.get(FLAG).headers["ETag"] == second
    assert admin.get(FLAG, headers={"If-None-Match": second}).status_code == 200


def test_an_edit_for_an_old_version_is_refused(admin: FlaskClient, clock: ManualClock) -> None:
    bulk(admin, item(10))
    old = {"If-Match": admin.get(FLAG).headers["ETag"]}
    clock.advance(seconds=10)

    refused = [admin.patch(FLAG, json={"enabled": False}, headers=old), admin.delete(FLAG, headers=old)]

    assert {(one.status_code, one.json["error"]) for one in refused} == {(412, "PRECONDITION_FAILED")}
    assert admin.get(FLAG).json["version"] == 2
    for match in (admin.get(FLAG).headers["ETag"], "*"):
        edited = admin.patch(FLAG, json={"description": "x"}, headers={"If-Match": match})
        assert edited.status_code == 200
        assert edited.headers["ETag"] == admin.get(FLAG).headers["ETag"]
    listed = f'"x", {edited.headers["ETag"]}'
    assert admin.post(FLAG, json={"enabled": True}, headers={"If-Match": listed}).status_code == 200


# As nginx, Apache and Caddy send it on when they compress an answer, and in a list.
AS_PROXIES_MAKE_IT = ['W/"{}"', '"{}-gzip"', 'W/"{}-gzip"', '"{}-br"', '"{}-zstd"', '"x", W/"{}"', 'W/"{}", W/"x"']


@pytest.mark.parametrize("written", AS_PROXIES_MAKE_IT)
def test_an_etag_that_a_proxy_has_changed_lets_its_version_be_edited_and_no_other(
    admin: FlaskClient, written: str
) -> None:
    def match() -> dict[str, str]:
        return {"If-Match": written.format(admin.get(FLAG).headers["ETag"].strip('"'))}

    old = match()
    edited = admin.patch(FLAG, json={"enabled": True}, headers=old)
    refused = [admin.patch(FLAG, json={"enabled": False}, headers=old), admin.delete(FLAG, headers=old)]
    deleted = admin.delete(FLAG, headers=match())

    assert (edited.status_code, edited.json["version"]) == (200, 2)
    assert [answer.status_code for answer in refused] == [412, 412]
    assert deleted.status_code == 204


def test_the_etag_of_a_keys_earlier_flag_never_matches(admin: FlaskClient) -> None:
    old = {"If-Match": admin.get(FLAG).headers["ETag"]}
    admin.delete(FLAG)
    created = admin.post(FLAGS, json={"key": "new-checkout"})

    assert admin.patch(FLAG, json={"enabled": True}, headers=old).status_code == 412
    assert created.headers["ETag"] == admin.get(FLAG).headers["ETag"]
