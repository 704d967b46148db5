"""Plans at the console: the builder in each of its shapes, and what is done with a plan."""

import re
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from tests.builders import ManualClock
from tests.console import Visitor
from tests.rows import count
from tests.web.console.conftest import Visit
from tests.web.console.test_pages import agenda, flag, plan

FLAGS = "/api/admin/flags"
KEYS = ("new-checkout", "dark-mode")
START = "2096-06-02T09:00"


@pytest.fixture(autouse=True)
def _flags(admin: FlaskClient) -> None:
    for environment in ("production", "staging"):
        for key in KEYS:
            body = {"key": key, "environment": environment, "enabled": True, "rolloutPercentage": 20}
            assert admin.post(FLAGS, json=body).status_code == 201


STEPS: dict[str, Any] = {
    "title": "Launch",
    "flag": list(KEYS),
    "environment": ["production", "staging"],
    "later_0": "1",
    "unit_of_0": "d",
    "starts": "at",
    "at": START,
    "zone": "Europe/Berlin",
    "enabled_0": "on",
    "percentage_0": "10",
    "percentage_1": "50",
    "after_1": "6",
    "unit_1": "h",
}


def test_steps_over_flags_and_environments_make_one_plan(ada: Visitor, admin: FlaskClient) -> None:
    ada.visit("new-plan").press("Plan all of it", **STEPS)

    assert "Launch" in ada.text
    assert "0 in effect, 8 ahead" in ada.text
    for key in KEYS:
        assert agenda(admin, key, "staging") == [
            ("2096-06-02T07:00:00Z", {"enabled": True, "rolloutPercentage": 10}),
            ("2096-06-02T13:00:00Z", {"rolloutPercentage": 50}),
        ]
        assert [at for at, _ in agenda(admin, key)] == ["2096-06-03T07:00:00Z", "2096-06-03T13:00:00Z"]


def test_among_many_flags_the_keys_of_some_are_typed(
    ada: Visitor, admin: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flagsched.web.console.builder.MAX_CHOICES", 1)
    ada.visit("new-plan")
    assert (ada.html.count('name="flag"'), "Others, by their keys" in ada.text) == (1, True)

    ada.press("Plan all of it", **STEPS | {"flag": ["dark-mode"], "more_flags": " new-checkout"})

    assert [len(agenda(admin, key)) for key in KEYS] == [2, 2]


def test_a_plan_may_begin_at_once(ada: Visitor, admin: FlaskClient) -> None:
    ada.visit("new-plan?flag=dark-mode").press("Plan all of it", percentage_0="70", percentage_1="90", after_1="2")

    assert flag(admin, "dark-mode")["rolloutPercentage"] == 70
    assert agenda(admin, "dark-mode") == [("2096-06-01T14:00:00Z", {"rolloutPercentage": 90})]


def test_a_ramp_makes_its_steps(ada: Visitor, admin: FlaskClient) -> None:
    sent = {"starts": "at", "at": START, "ramp_from": "10", "ramp_to": "100", "ramp_steps": "3", "ramp_number": "2"}

    ada.visit("new-plan?flag=dark-mode&shape=ramp").press("Plan all of it", zone="Europe/Berlin", **sent)

    assert agenda(admin, "dark-mode") == [
        ("2096-06-02T07:00:00Z", {"enabled": True, "rolloutPercentage": 10}),
        ("2096-06-04T07:00:00Z", {"rolloutPercentage": 55}),
        ("2096-06-06T07:00:00Z", {"rolloutPercentage": 100}),
    ]


def test_a_window_opens_and_closes(ada: Visitor, admin: FlaskClient) -> None:
    sent = {"flag": list(KEYS), "opens": START, "closes": "2096-06-09T09:00", "window_percentage": "50"}

    ada.visit("new-plan?shape=window").press("Plan all of it", zone="Europe/Berlin", **sent)

    for key in KEYS:
        assert agenda(admin, key) == [
            ("2096-06-02T07:00:00Z", {"enabled": True, "rolloutPercentage": 50}),
            ("2096-06-09T07:00:00Z", {"enabled": False}),
        ]


def test_single_changes_are_planned_together(ada: Visitor, admin: FlaskClient) -> None:
    ada.visit("new-plan?shape=changes").press(
        "Plan all of it",
        zone="UTC",
        change_flag_0="dark-mode",
        change_at_0=START,
        change_enabled_0="off",
        change_flag_2="new-checkout",
        change_at_2=START,
        change_environment_2="staging",
        change_percentage_2="5",
    )

    assert agenda(admin, "dark-mode") == [("2096-06-02T09:00:00Z", {"enabled": False})]
    assert agenda(admin, "new-checkout", "staging") == [("2096-06-02T09:00:00Z", {"rolloutPercentage": 5})]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no flag": ({"flag": None}, "flags: "),
    "no environment": ({"environment": None}, "environments: "),
    "no step": ({"enabled_0": "", "percentage_0": "", "percentage_1": ""}, "steps: "),
    "a percentage over 100": ({"percentage_1": "101"}, "steps.1.updates.rolloutPercentage"),
    "a percentage that is no number": ({"percentage_1": "many"}, "steps.1.updates.rolloutPercentage"),
    "a length that is none": ({"after_1": "-1"}, "steps.1.after"),
    "in the past": ({"at": "2096-05-02T09:00"}, "must be in the future"),
    "no time": ({"at": ""}, "localTime"),
    "a flag that is not there": ({"flag": ["nothing"]}, "'nothing' does not exist"),
    "a zone that is none": ({"zone": "Berlin"}, "must be the IANA name of a time zone"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_plan_that_is_refused_stores_nothing_and_keeps_what_was_typed(
    ada: Visitor, engine: sa.Engine, name: str
) -> None:
    changed, why = REFUSED[name]
    sent = STEPS | changed

    ada.visit("new-plan").press("Plan all of it", **sent)

    assert ada.status in {400, 404}
    assert why in ada.text
    kept = ada.form("Plan all of it").values
    typed = {field: value for field, value in sent.items() if value and field not in {"flag", "environment"}}
    assert {field: kept[field] for field in typed} == {field: [str(value)] for field, value in typed.items()}
    assert count(engine, "feature_flag_schedules") == 0


def test_the_reason_stands_at_its_row(ada: Visitor) -> None:
    sent = {"percentage_0": "10", "percentage_4": "500", "after_4": "1"}

    ada.visit("new-plan?flag=dark-mode").press("Plan all of it", **sent)

    fifth = ada.html.partition("<legend>Step 5</legend>")[2].partition("</fieldset>")[0]
    assert "must be an integer from 0 to 100" in fifth
    assert ada.html.count('class="why"') == 1


def test_a_preview_shows_what_comes_about_and_stores_nothing(
    ada: Visitor, admin: FlaskClient, engine: sa.Engine
) -> None:
    plan(admin, 86400, key="dark-mode")
    admin.post("/api/admin/environments/production/holds", json={"reason": "close", "from": "2096-06-03T00:00:00Z"})
    before = count(engine, "feature_flag_schedules")
    ada.visit("new-plan")
    form = ada.form("Plan all of it").values

    answer = ada.client.post("/console/new-plan/preview", data={**form, **STEPS})

    assert answer.status_code == 200
    assert "2 changes of dark-mode in staging" in answer.text
    assert "A hold is in the way:" in answer.text
    assert "Planned already between its steps:" not in answer.text
    assert count(engine, "feature_flag_schedules") == before
    refused = ada.client.post("/console/new-plan/preview", data={**form, **STEPS, "percentage_0": "500"})
    assert (refused.status_code, "must be an integer from 0 to 100" in refused.text) == (200, True)


def test_a_change_of_the_clocks_between_the_steps_is_named(ada: Visitor) -> None:
    ada.visit("new-plan?flag=dark-mode&shape=ramp")
    sent = {"starts": "at", "at": "2096-10-27T09:00", "zone": "Europe/Berlin", "ramp_steps": "3"}
    ada.client.set_cookie("flagsched_zone", "Europe/Berlin", path="/console")

    answer = ada.client.post("/console/new-plan/preview", data={**ada.form("Plan all of it").values, **sent})

    assert "the clocks of Europe/Berlin go back by 1 h." in answer.text


def test_a_plan_is_moved_as_a_whole(ada: Visitor, admin: FlaskClient) -> None:
    plan_id = plan(admin, 3600, 7200)

    ada.visit(f"plans/{plan_id}").follow("Move…").press("Move it", number="1", unit="d")

    assert [at for at, _ in agenda(admin)] == ["2096-06-02T13:00:00Z", "2096-06-02T14:00:00Z"]
    ada.visit(f"plans/{plan_id}/shift").press("Move it", number="9", unit="d", direction="earlier")
    assert (ada.status, "must be in the future" in ada.text) == (400, True)
    assert ada.form("Move it").values["number"] == ["9"]


def test_whoever_moves_a_plan_that_another_has_changed_is_told(ada: Visitor, visit: Visit, admin: FlaskClient) -> None:
    plan_id = plan(admin, 3600)
    grace = visit(name="grace").visit(f"plans/{plan_id}/shift")
    ada.visit(f"plans/{plan_id}/shift").press("Move it", number="1")

    grace.press("Move it", number="1")

    assert (grace.status, "Somebody has changed it while you looked" in grace.text) == (412, True)
    assert agenda(admin)[0][0] == "2096-06-01T14:00:00Z"


def test_the_rest_of_a_plan_is_cancelled(ada: Visitor, admin: FlaskClient, clock: ManualClock) -> None:
    plan_id = plan(admin, 60, 120)
    clock.advance(seconds=90)

    ada.visit(f"plans/{plan_id}").follow("Cancel the rest…")
    assert "1 step ahead will never take effect." in ada.text
    ada.press("Cancel the rest")

    assert agenda(admin) == []
    assert "1 in effect, 0 ahead, 1 cancelled" in ada.text


def test_a_plan_is_held_and_released(visit: Visit, admin: FlaskClient, clock: ManualClock) -> None:
    plan_id = plan(admin, 60, 120)
    oncall = visit("operator").visit(f"plans/{plan_id}").follow("Hold it").press("Hold it now", reason="errors")
    assert "held" in oncall.text
    clock.advance(seconds=90)

    oncall.visit(f"plans/{plan_id}").follow("Release…").press("Release")

    assert [at for at, _ in agenda(admin)] == ["2096-06-01T12:02:30Z", "2096-06-01T12:03:30Z"]


def test_all_of_a_plan_is_undone(ada: Visitor, admin: FlaskClient, clock: ManualClock) -> None:
    plan_id = plan(admin, 60, 120)
    clock.advance(seconds=90)
    assert flag(admin)["rolloutPercentage"] == 21

    ada.visit(f"plans/{plan_id}").follow("Undo all…").press("Undo all of it")

    assert (flag(admin)["rolloutPercentage"], agenda(admin)) == (20, [])


def test_undoing_a_plan_over_a_later_edit_has_to_be_forced(
    ada: Visitor, admin: FlaskClient, clock: ManualClock
) -> None:
    plan_id = plan(admin, 60)
    clock.advance(seconds=90)
    admin.patch(f"{FLAGS}/new-checkout", json={"rolloutPercentage": 77})

    ada.visit(f"plans/{plan_id}/undo").press("Undo all of it")
    assert (ada.status, flag(admin)["rolloutPercentage"]) == (409, 77)
    ada.press("Set it back all the same")

    assert flag(admin)["rolloutPercentage"] == 20


def test_plans_are_listed_searched_and_paged(ada: Visitor, admin: FlaskClient) -> None:
    for n in range(55):
        plan(admin, 3600 + n, title=f"Plan {n}")

    found = [re.findall(r"Plan \d+", ada.visit("plans").text), re.findall(r"Plan \d+", ada.follow("Older plans").text)]
    assert [len(names) for names in found] == [50, 5]
    assert len({*found[0], *found[1]}) == 55
    assert "Plan 7 " in ada.visit("plans?q=Plan+7").text
    assert "No plan is so." in ada.visit("plans?status=held").text
    assert ada.visit("plans?status=nonsense").status == 400
