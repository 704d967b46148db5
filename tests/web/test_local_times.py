"""Local times over HTTP, where the clocks change: schedules, bulks, previews, plans and edits. On both databases.

The zones' rules of today go on in the years of these tests.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.doctor import examine
from tests.builders import ManualClock
from tests.rows import count, everything

FLAG = "/api/admin/flags/a"
SCHEDULE = f"{FLAG}/schedule"
PLANS = "/api/admin/plans"
ON = {"updates": {"enabled": True}}
BERLIN, YORK, LORD_HOWE, TEHRAN, APIA = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Tehran",
    "Pacific/Apia",
)
Body = dict[str, Any]


class Gap(NamedTuple):
    """A local time that does not exist, and what is said of it."""

    zone: str
    time: str
    said: str


class Overlap(NamedTuple):
    """A local time that exists twice, and the two instants in UTC and in local time."""

    zone: str
    time: str
    instants: tuple[str, str]
    said: tuple[str, str]


GAPS = [
    Gap(
        BERLIN,
        "2097-03-31T02:30",
        "the clocks go from 2097-03-31T02:00:00 to 2097-03-31T03:00:00; "
        "take 2097-03-31T01:30:00+01:00 or 2097-03-31T03:30:00+02:00",
    ),
    Gap(
        YORK,
        "2097-03-10T02:00:01",
        "the clocks go from 2097-03-10T02:00:00 to 2097-03-10T03:00:00; "
        "take 2097-03-10T01:00:01-05:00 or 2097-03-10T03:00:01-04:00",
    ),
    Gap(
        LORD_HOWE,
        "2096-10-07T02:15",
        "the clocks go from 2096-10-07T02:00:00 to 2096-10-07T02:30:00; "
        "take 2096-10-07T01:45:00+10:30 or 2096-10-07T02:45:00+11:00",
    ),
]
OVERLAPS = [
    Overlap(
        BERLIN,
        "2096-10-28T02:30:00",
        ("2096-10-28T00:30:00Z", "2096-10-28T01:30:00Z"),
        ("2096-10-28T02:30:00+02:00", "2096-10-28T02:30:00+01:00"),
    ),
    Overlap(
        YORK,
        "2096-11-04T01:00:00",
        ("2096-11-04T05:00:00Z", "2096-11-04T06:00:00Z"),
        ("2096-11-04T01:00:00-04:00", "2096-11-04T01:00:00-05:00"),
    ),
    Overlap(
        LORD_HOWE,
        "2097-04-07T01:45:00",
        ("2097-04-06T14:45:00Z", "2097-04-06T15:15:00Z"),
        ("2097-04-07T01:45:00+11:00", "2097-04-07T01:45:00+10:30"),
    ),
]
EXISTING = [
    (BERLIN, "2096-10-28T01:59:59", "2096-10-27T23:59:59Z"),
    (BERLIN, "2096-10-28T03:00", "2096-10-28T02:00:00Z"),
    (YORK, "2097-03-10T03:00", "2097-03-10T07:00:00Z"),
    (LORD_HOWE, "2096-10-07T02:30", "2096-10-06T15:30:00Z"),
    (TEHRAN, "2096-07-01T00:00", "2096-06-30T20:30:00Z"),
    (APIA, "2096-12-30T09:00", "2096-12-29T20:00:00Z"),
]


@pytest.fixture(autouse=True)
def _a_flag(admin: FlaskClient, store: SqlStore, clock: ManualClock) -> Iterator[None]:
    assert admin.post("/api/admin/flags", json={"key": "a"}).status_code == 201
    yield
    assert [one for one in examine(store, clock.at) if not one.ok and one.check != "record"] == []


def local(zone: str, time: str, fold: str | None = None) -> Body:
    return {"localTime": time, "timeZone": zone} | ({"fold": fold} if fold else {})


def sent_everywhere(moment: Body) -> list[tuple[str, Body, tuple[str, ...]]]:
    """Each path that takes a change, with one at this moment, and where in the body that stands."""
    in_list: Body = {"changes": [{"flagKey": "a"} | moment | ON]}
    in_batch: Body = {"schedules": [moment | ON]}
    product: Body = {"flags": ["a"], "steps": [ON]} | moment
    return [
        (SCHEDULE, moment | ON, ()),
        (f"{SCHEDULE}/bulk", in_batch, ("schedules", "0")),
        (f"{SCHEDULE}/preview", in_batch, ("schedules", "0")),
        (PLANS, in_list, ("changes", "0")),
        (PLANS, product, ()),
        (f"{PLANS}/preview", product, ()),
    ]


def refusal(admin: FlaskClient, path: str, body: Body, place: tuple[str, ...]) -> str:
    """The only reason that is given, which must be the local time's."""
    answer = admin.post(path, json=body)
    assert answer.status_code == 400, answer.text
    details = answer.json["details"]
    for part in (*place, "localTime"):
        assert list(details) == [part]
        details = details[part]
    (reason,) = details
    return str(reason)


def created(admin: FlaskClient, path: str, body: Body) -> list[Body]:
    answer: Any = admin.post(path, json=body)
    assert answer.status_code == 201, answer.text
    told: Body = answer.json
    return [told] if "id" in told else list(told["schedules"])


@pytest.mark.parametrize("gap", GAPS, ids=[one.zone for one in GAPS])
def test_a_local_time_that_does_not_exist_is_refused_with_both_that_may_be_meant(
    admin: FlaskClient, engine: sa.Engine, gap: Gap
) -> None:
    for fold in (None, "earlier", "later"):
        for path, body, place in sent_everywhere(local(gap.zone, gap.time, fold)):
            assert refusal(admin, path, body, place) == f"does not exist in {gap.zone}: {gap.said}"

    assert count(engine, "feature_flag_schedules") == 0


@pytest.mark.parametrize("overlap", OVERLAPS, ids=[one.zone for one in OVERLAPS])
def test_a_local_time_that_exists_twice_is_refused_with_both_unless_fold_chooses(
    admin: FlaskClient, overlap: Overlap
) -> None:
    zone, time, instants, (earlier, later) = overlap
    for path, body, place in sent_everywhere(local(zone, time)):
        reason = refusal(admin, path, body, place)
        assert reason.startswith(f"exists twice in {zone}, as {earlier} and {later}: 'fold' chooses")

    for fold, instant in zip(("earlier", "later"), instants, strict=True):
        for path, body, _ in sent_everywhere(local(zone, time, fold)):
            if path.endswith("preview"):
                assert admin.post(path, json=body).status_code == 200
                continue
            (one,) = created(admin, path, body)
            assert (one["scheduledAt"], one["localTime"], one["timeZone"]) == (instant, time, zone)


@pytest.mark.parametrize(("zone", "time", "instant"), EXISTING, ids=[f"{zone} {time}" for zone, time, _ in EXISTING])
def test_a_local_time_that_exists_once_needs_no_fold_and_takes_one(
    admin: FlaskClient, zone: str, time: str, instant: str
) -> None:
    whole = time if len(time) == 19 else f"{time}:00"

    for fold in (None, "earlier", "later"):
        (one,) = created(admin, SCHEDULE, local(zone, time, fold) | ON)
        assert (one["scheduledAt"], one["localTime"], one["timeZone"]) == (instant, whole, zone)
        assert admin.get(f"{SCHEDULE}/{one['id']}").json == one


def test_a_day_is_the_same_local_hour_and_24_hours_are_not(admin: FlaskClient) -> None:
    steps = [ON, {"after": "P1D"} | ON, {"after": "PT24H"} | ON, {"after": "P1W"} | ON]
    body = {"flags": ["a"], "steps": steps} | local(BERLIN, "2096-10-27T09:00")

    planned = created(admin, PLANS, body)

    assert [(one["localTime"], one["scheduledAt"]) for one in planned] == [
        ("2096-10-27T09:00:00", "2096-10-27T07:00:00Z"),
        ("2096-10-28T09:00:00", "2096-10-28T08:00:00Z"),
        ("2096-10-29T09:00:00", "2096-10-29T08:00:00Z"),
        ("2096-11-05T09:00:00", "2096-11-05T08:00:00Z"),
    ]
    for after, instant in (("PT24H", "2096-10-28T07:00:00Z"), ("P1D", "2096-10-28T08:00:00Z")):
        body = {"flags": ["a"], "steps": [ON, {"after": after} | ON]} | local(BERLIN, "2096-10-27T09:00")
        assert created(admin, PLANS, body)[1]["scheduledAt"] == instant


def test_days_of_an_instant_are_local_where_a_zone_is_given_beside_it(admin: FlaskClient) -> None:
    body = {"flags": ["a"], "steps": [ON, {"after": "P1D"} | ON], "startAt": "2096-11-03T14:00:00Z"}

    without = created(admin, PLANS, body)
    with_zone = created(admin, PLANS, body | {"timeZone": YORK})

    assert [(one["scheduledAt"], one["localTime"], one["timeZone"]) for one in without] == [
        ("2096-11-03T14:00:00Z", None, None),
        ("2096-11-04T14:00:00Z", None, None),
    ]
    assert [(one["scheduledAt"], one["localTime"], one["timeZone"]) for one in with_zone] == [
        ("2096-11-03T14:00:00Z", "2096-11-03T10:00:00", YORK),
        ("2096-11-04T15:00:00Z", "2096-11-04T10:00:00", YORK),
    ]


def test_an_environment_that_starts_some_days_later_starts_at_the_same_local_hour(admin: FlaskClient) -> None:
    admin.post("/api/admin/flags", json={"key": "a", "environment": "dev"})
    environments = [{"name": "dev"}, {"name": "production", "offset": "P1D"}]
    body = {"flags": ["a"], "environments": environments, "steps": [ON]} | local(LORD_HOWE, "2096-10-06T09:00")

    assert [one["scheduledAt"] for one in created(admin, PLANS, body)] == [
        "2096-10-05T22:30:00Z",
        "2096-10-06T22:00:00Z",
    ]


def test_a_step_that_leads_into_a_gap_is_refused_where_it_says_how_long(admin: FlaskClient, engine: sa.Engine) -> None:
    for length, status in (("P1D", 400), ("PT24H", 201)):
        body = {"flags": ["a"], "steps": [ON, {"after": length} | ON]} | local(BERLIN, "2097-03-30T02:30")
        answer = admin.post(PLANS, json=body)
        assert answer.status_code == status
        if status == 400:
            (reason,) = answer.json["details"]["steps"]["1"]["after"]
            assert "does not exist in Europe/Berlin" in reason
            assert count(engine, "feature_flag_plans") == 0


def test_a_schedule_is_moved_to_a_local_time_and_back_to_an_instant(admin: FlaskClient) -> None:
    (one,) = created(admin, SCHEDULE, {"scheduledAt": "2096-07-01T00:00:00Z"} | ON)
    path = f"{SCHEDULE}/{one['id']}"

    moved = admin.patch(path, json=local(BERLIN, "2096-10-28T02:30", "later")).json
    updated = admin.patch(path, json={"updates": {"enabled": False}}).json
    back = admin.patch(path, json={"scheduledAt": "2096-07-01T00:00:00Z"}).json

    assert [(one["scheduledAt"], one["localTime"], one["timeZone"]) for one in (moved, updated, back)] == [
        ("2096-10-28T01:30:00Z", "2096-10-28T02:30:00", BERLIN),
        ("2096-10-28T01:30:00Z", "2096-10-28T02:30:00", BERLIN),
        ("2096-07-01T00:00:00Z", None, None),
    ]
    for wrong in (
        local(BERLIN, "2096-10-28T02:30"),
        local(BERLIN, "2097-03-31T02:30"),
        local(BERLIN, "2096-05-01T02:30"),
        {"localTime": "2096-10-28T03:30"},
        {"timeZone": BERLIN},
        {"fold": "later"},
        local(BERLIN, "2096-10-28T03:30") | {"scheduledAt": "2096-07-01T00:00:00Z"},
    ):
        assert admin.patch(path, json=wrong).status_code == 400
    assert admin.get(path).json == back


def test_a_shift_by_days_keeps_the_local_hour_and_one_by_hours_does_not(admin: FlaskClient) -> None:
    body = {"changes": [{"flagKey": "a"} | local(BERLIN, "2096-10-27T09:00") | ON]}
    path = f"{PLANS}/{created(admin, PLANS, body)[0]['batchId']}"

    moved = [admin.patch(path, json={"shift": shift}).json["pending"][0] for shift in ("P1D", "-P1D", "PT24H")]

    assert [(one["scheduledAt"], one["localTime"], one["timeZone"]) for one in moved] == [
        ("2096-10-28T08:00:00Z", "2096-10-28T09:00:00", BERLIN),
        ("2096-10-27T07:00:00Z", "2096-10-27T09:00:00", BERLIN),
        ("2096-10-28T07:00:00Z", "2096-10-28T08:00:00", BERLIN),
    ]


@pytest.mark.parametrize(
    ("time", "said"),
    [("2096-10-27T02:30", "exists twice in Europe/Berlin"), ("2097-03-30T02:30", "does not exist in Europe/Berlin")],
    ids=["overlap", "gap"],
)
def test_a_shift_to_a_local_time_that_is_not_one_instant_moves_nothing(
    admin: FlaskClient, engine: sa.Engine, time: str, said: str
) -> None:
    body = {
        "changes": [
            {"flagKey": "a"} | local(BERLIN, time) | ON,
            {"flagKey": "a", "scheduledAt": "2096-07-01T00:00:00Z"} | ON,
        ]
    }
    path = f"{PLANS}/{created(admin, PLANS, body)[0]['batchId']}"
    before = everything(engine)

    answer = admin.patch(path, json={"shift": "P1D"})

    assert answer.status_code == 400
    (reason,) = answer.json["details"]["shift"]
    assert said in reason
    assert ("'fold' chooses" in reason) == ("twice" in said)
    assert everything(engine) == before


@pytest.mark.parametrize(("fold", "at"), [("earlier", "2096-10-28T00:30:00Z"), ("later", "2096-10-28T01:30:00Z")])
def test_a_shift_to_a_local_time_that_exists_twice_says_which_is_meant(admin: FlaskClient, fold: str, at: str) -> None:
    body = {"changes": [{"flagKey": "a"} | local(BERLIN, "2096-10-27T02:30") | ON]}
    path = f"{PLANS}/{created(admin, PLANS, body)[0]['batchId']}"

    moved = admin.patch(path, json={"shift": "P1D", "fold": fold})

    assert [(one["scheduledAt"], one["localTime"]) for one in moved.json["pending"]] == [(at, "2096-10-28T02:30:00")]
    without = admin.patch(path, json={"title": "x", "fold": fold})
    assert (without.status_code, without.json["details"]) == (400, {"fold": ["must not be set without shift"]})


def test_a_plan_in_local_time_that_is_applied_again_changes_nothing(admin: FlaskClient) -> None:
    body = {"flags": ["a"], "steps": [ON, {"after": "P1D"} | ON]} | local(BERLIN, "2096-10-27T09:00")
    for created_first in (True, False):
        answer = admin.put("/api/admin/named-plans/launch", json=body)
        assert (answer.status_code, answer.json["changed"]) == (200, created_first)


def test_a_plan_that_starts_now_with_a_zone_counts_local_days(admin: FlaskClient) -> None:
    answer = admin.post(PLANS, json={"flags": ["a"], "timeZone": BERLIN, "steps": [ON, {"after": "P180D"} | ON]})

    assert [(one["scheduledAt"], one["localTime"]) for one in answer.json["schedules"]] == [
        ("2096-06-01T12:00:00Z", "2096-06-01T14:00:00"),
        ("2096-11-28T13:00:00Z", "2096-11-28T14:00:00"),
    ]
