"""/api/config: what applications ask by plain HTTP, on every database."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from flagsched.domain.evaluation import bucket
from tests.builders import ManualClock

FLAGS = "/api/config/flags"


@pytest.fixture
def flags(admin: FlaskClient) -> None:
    for key, percentage in (("half", 50), ("whole", 100), ("none", 0)):
        admin.post("/api/admin/flags", json={"key": key, "enabled": True, "rolloutPercentage": percentage})


@pytest.mark.usefixtures("flags")
def test_whoever_shows_a_token_is_told_what_holds_for_him(anyone: FlaskClient, token: Callable[..., str]) -> None:
    inside = next(name for name in map("user-{}".format, range(100)) if bucket("half", name) < 5000)

    nobody = anyone.get(FLAGS)
    somebody = anyone.get(FLAGS, headers={"Authorization": f"Bearer {token(role='reader', subject=inside)}"})
    refused = anyone.get(FLAGS, headers={"Authorization": "Bearer x"})

    assert nobody.json == {"half": False, "none": False, "whole": True}
    assert somebody.json == {"half": True, "none": False, "whole": True}
    assert (refused.status_code, refused.json["error"]) == (401, "UNAUTHORIZED")


@pytest.mark.usefixtures("flags")
@pytest.mark.parametrize("path", [FLAGS, f"{FLAGS}/half"])
def test_what_the_caller_has_already_is_not_told_again(
    admin: FlaskClient, anyone: FlaskClient, clock: ManualClock, path: str
) -> None:
    first = anyone.get(path)
    headers = {"If-None-Match": first.headers["ETag"]}

    same = anyone.get(path, headers=headers)
    admin.patch("/api/admin/flags/half", json={"description": "of all"})
    clock.advance(seconds=1)

    assert (same.status_code, same.data) == (304, b"")
    assert [answer.headers["Cache-Control"] for answer in (first, same)] == ["private, max-age=1"] * 2
    assert (first.headers["Vary"], same.headers["Vary"]) == ("Authorization", "Authorization")
    assert anyone.get(path, headers=headers).status_code == 200
    assert anyone.get(f"{FLAGS}/whole", headers=headers).status_code == 200


@pytest.mark.parametrize("role", [None, "reader", "admin"])
def test_a_description_is_told_by_the_admin_api_alone(
    admin: FlaskClient, anyone: FlaskClient, token: Callable[..., str], role: str | None
) -> None:
    admin.post("/api/admin/flags", json={"key": "half", "description": "what we plan to buy"})
    headers = {"Authorization": f"Bearer {token(role=role)}"} if role else {}

    answers = [
        anyone.get(FLAGS, headers=headers),
        anyone.get(f"{FLAGS}/half", headers=headers),
        anyone.post("/ofrep/v1/evaluate/flags", json={"context": {}}, headers=headers),
        anyone.post("/ofrep/v1/evaluate/flags/half", json={"context": {}}, headers=headers),
    ]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert [answer for answer in answers if "description" in answer.text or "plan to buy" in answer.text] == []
    assert admin.get("/api/admin/flags/half").json["description"] == "what we plan to buy"
