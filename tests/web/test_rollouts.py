"""The same steps for several flags and environments, as clients ask for them."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.builders import ManualClock

PLANS = "/api/admin/plans"
PREVIEW = f"{PLANS}/preview"
ON = {"updates": {"enabled": True}}
OFF = {"updates": {"enabled": False}}


@pytest.fixture(autouse=True)
def _a_flag(admin: FlaskClient) -> None:
    assert admin.post("/api/admin/flags", json={"key": "new-checkout"}).status_code == 201


def rollout(*steps: Any, **other: Any) -> dict[str, Any]:
    return {"flags": ["new-checkout"], "steps": steps or [ON]} | other


def test_a_rollout_that_starts_now_can_be_previewed_between_two_milliseconds(
    admin: FlaskClient, clock: ManualClock
) -> None:
    clock.advance(microseconds=123_456)

    previewed = admin.post(PREVIEW, json=rollout(ON, {"after": "P1D"} | OFF))

    assert previewed.status_code == 200
    assert [(one["enabled"], one["to"]) for one in previewed.json["flags"][0]["segments"]] == [
        (True, "2096-06-02T12:00:00.123Z"),
        (False, None),
    ]


@pytest.mark.parametrize("path", [PLANS, PREVIEW])
@pytest.mark.parametrize(
    ("body", "details"),
    [
        (
            rollout(ON, OFF, startAt="2096-07-01T00:00:00Z"),
            {"steps": {"1": {"after": ["is the same instant as in steps[0]"]}}},
        ),
        (
            rollout(ON, {"after": "-PT1H"} | OFF),
            {"steps": {"1": {"after": ["must not go back in time"]}}},
        ),
        (
            rollout(startAt="9999-12-31T23:00:00Z", timeZone="Asia/Tokyo"),
            {"startAt": ["must be in the years 0001 to 9999 also in Asia/Tokyo"]},
        ),
    ],
    ids=["two steps at one instant", "a step back in time", "beyond the calendar"],
)
def test_a_rollout_that_cannot_be_is_refused_where_it_says_so(
    admin: FlaskClient, path: str, body: dict[str, Any], details: Any
) -> None:
    refused = admin.post(path, json=body)

    assert (refused.status_code, refused.json["details"]) == (400, details)
    assert admin.get(PLANS).json["plans"] == []
