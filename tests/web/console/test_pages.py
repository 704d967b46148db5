"""What people do at the console, page by page."""

import csv
from io import StringIO

import pytest
from flask.testing import FlaskClient

from tests.builders import ManualClock, after
from tests.console import CONSOLE, Forms, Visitor
from tests.processes import until
from tests.web.console.conftest import Visit

FLAGS = "/api/admin/flags"


@pytest.fixture(autouse=True)
def _flags(admin: FlaskClient) -> None:
    for environment in ("production", "staging"):
        for key in ("new-checkout", "dark-mode"):
            body = {"key": key, "environment": environment, "enabled": True, "rolloutPercentage": 20}
            assert admin.post(FLAGS, json=body).status_code == 201


def plan(admin: FlaskClient, *seconds: float, key: str = "new-checkout", title: str = "Launch") -> str:
    """A plan whose steps set 21 %, 22 %, … so many seconds after noon."""
    changes = [
        {"flagKey": key, "scheduledAt": after(s).isoformat(), "updates": {"rolloutPercentage": 21 + n}}
        for n, s in enumerate(seconds)
    ]
    answer = admin.post("/api/admin/plans", json={"title": title, "changes": changes})
    assert answer.status_code == 201
    return str(answer.json["plan"]["id"])


def flag(admin: FlaskClient, key: str = "new-checkout", environment: str = "production") -> dict[str, object]:
    answer = admin.get(f"{FLAGS}/{key}", query_string={"environment": environment})
    body: dict[str, object] = answer.json
    return body


def agenda(admin: FlaskClient, key: str = "new-checkout", environment: str = "production") -> list[tuple[str, object]]:
    answer = admin.get(f"{FLAGS}/{key}/schedule", query_string={"environment": environment, "status": "pending"})
    return [(one["scheduledAt"], one["updates"]) for one in answer.json]


def test_what_is_coming_shows_each_flag_and_the_next_changes_with_plan_and_planner(
    ada: Visitor, admin: FlaskClient
) -> None:
    plan(admin, 3600, title="Checkout launch")

    ada.visit("")

    assert "What is coming in production" in ada.text
    assert "dark-mode on for 20 %" in ada.text
    assert "Fri 1 Jun, 13:00 in 1 h new-checkout 21 % Checkout launch ada" in ada.text
    assert 'aria-label="new-checkout: on for 20 % until Fri 1 Jun, 13:00; on for 21 % from then on"' in ada.html


def test_flags_are_searched_and_environments_switched(ada: Visitor) -> None:
    assert "new-checkout" not in ada.visit("?q=dark").text
    assert "No flag of production has “zzz” in its key." in ada.visit("?q=zzz").text
    assert "There is no flag in qa yet." in ada.visit("?environment=qa").text
    assert "What is coming in staging" in ada.visit("?environment=staging").text


@pytest.mark.parametrize("range_", ["day", "week", "month", "nonsense"])
@pytest.mark.parametrize("moved", ["", "1", "-3", "nonsense"])
def test_every_range_of_time_can_be_looked_at(ada: Visitor, range_: str, moved: str) -> None:
    assert ada.visit(f"?range={range_}&moved={moved}").status == 200
    assert ada.visit(f"flags/new-checkout?range={range_}&moved={moved}").status == 200


def test_a_thousand_flags_come_a_hundred_at_a_time(ada: Visitor, admin: FlaskClient) -> None:
    for n in range(105):
        admin.post(FLAGS, json={"key": f"z{n:03}"})

    ada.visit("")
    assert ("z097" in ada.text, "z098" in ada.text) == (True, False)
    ada.follow("More flags")
    assert ("z097" in ada.text, "z104" in ada.text) == (False, True)


def test_a_flag_says_what_it_is_and_why(ada: Visitor, admin: FlaskClient, clock: ManualClock) -> None:
    plan(admin, 60, 120, title="Checkout launch")
    assert "on for 20 % since Fri 1 Jun, 12:00, created by ada." in ada.visit("flags/new-checkout").text

    clock.advance(seconds=90)
    ada.visit("flags/new-checkout")
    assert "on for 21 % since Fri 1 Jun, 12:01, step 1 of 2 of “Checkout launch”, planned by ada." in ada.text
    assert "Changes next in 30 s" in ada.text

    ada.press("Set it now", percentage="40")
    assert "on for 40 % since Fri 1 Jun, 12:01:30, set by ada." in ada.text
    assert "ada set it from 21 % to 40 %" in ada.text


def test_a_flag_is_created_and_its_form_keeps_what_was_typed_when_it_is_refused(
    ada: Visitor, admin: FlaskClient
) -> None:
    ada.visit("new-flag").press("Create the flag", key="new checkout", description="Half a sentence")
    assert ada.status == 400
    assert "key: must be 1 to 100 letters" in ada.text
    assert ada.form("Create the flag").values["description"] == ["Half a sentence"]

    ada.press("Create the flag", key="gift-wrapping", enabled="on", percentage="5")
    assert ada.at == "/console/flags/gift-wrapping?environment=production"
    assert flag(admin, "gift-wrapping")["rolloutPercentage"] == 5

    ada.visit("new-flag").press("Create the flag", key="gift-wrapping")
    assert (ada.status, "already exists" in ada.text) == (409, True)


def test_whoever_sets_a_flag_that_another_has_changed_is_told_and_changes_nothing(
    ada: Visitor, visit: Visit, admin: FlaskClient
) -> None:
    grace = visit(name="grace").visit("flags/new-checkout")
    ada.visit("flags/new-checkout").press("Set it now", percentage="40")

    grace.press("Set it now", percentage="90")

    assert grace.status == 412
    assert "Somebody has changed it while you looked" in grace.text
    assert grace.form("Set it now").values["percentage"] == ["90"]
    assert flag(admin)["rolloutPercentage"] == 40


def test_the_red_button_turns_it_off_and_holds_until_a_release_shifts_the_plan(
    visit: Visit, admin: FlaskClient, clock: ManualClock
) -> None:
    plan(admin, 60, 120)
    oncall = visit("operator", "oncall").visit("flags/new-checkout").follow("Stop it")
    assert "2 planned changes wait until you release it" in oncall.text
    oncall.press("Stop it now", reason="errors at the provider")
    assert (flag(admin)["enabled"], agenda(admin)[0][0]) == (False, "2096-06-01T12:01:00Z")
    assert "errors at the provider" in oncall.text

    clock.advance(seconds=90)
    oncall.visit("flags/new-checkout").follow("Release…")
    assert [way in oncall.text for way in ("Shift", "Catch up", "Skip")] == [True] * 3
    assert "Then: off until" in oncall.html
    oncall.press("Release", then="shift")

    assert [at for at, _ in agenda(admin)] == ["2096-06-01T12:02:30Z", "2096-06-01T12:03:30Z"]
    assert oncall.at == "/console/flags/new-checkout?environment=production"


def test_a_hold_that_was_released_meanwhile_says_so(ada: Visitor, visit: Visit) -> None:
    ada.visit("flags/new-checkout").follow("Stop it").press("Stop it now")
    grace = visit(name="grace").visit("flags/new-checkout").follow("Release…")
    ada.visit("flags/new-checkout").follow("Release…").press("Release")

    grace.press("Release")

    assert (grace.status, "It has ended already" in grace.text) == (409, True)


def test_a_change_is_planned_moved_and_cancelled(ada: Visitor, admin: FlaskClient) -> None:
    ada.visit("flags/new-checkout").follow("Plan a change")
    ada.press("Plan it", at="2096-06-02T09:00", zone="Europe/Berlin", enabled="", percentage="60")
    assert agenda(admin) == [("2096-06-02T07:00:00Z", {"rolloutPercentage": 60})]

    ada.follow("Move or edit what is planned for Sat 2 Jun, 07:00")
    assert ada.form("Save").values["at"] == ["2096-06-02T09:00:00"]
    ada.press("Save", at="2096-06-02T10:00", percentage="70")
    assert agenda(admin) == [("2096-06-02T08:00:00Z", {"rolloutPercentage": 70})]

    ada.follow("Cancel what is planned for Sat 2 Jun, 08:00").press("Cancel this change")
    assert agenda(admin) == []
    assert "cancelled 70 %, planned for Sat 2 Jun, 08:00" in ada.text


@pytest.mark.parametrize(
    ("at", "zone", "why"),
    [
        ("2096-05-01T09:00", "Europe/Berlin", "localTime: must be in the future"),
        ("2096-03-25T02:30", "Europe/Berlin", "does not exist in Europe/Berlin"),
        ("2096-10-28T02:30", "Europe/Berlin", "exists twice in Europe/Berlin"),
        ("2096-10-28T02:30", "Berlin", "must be the IANA name of a time zone"),
        ("", "Europe/Berlin", "must be a local time"),
    ],
)
def test_an_instant_that_can_not_be_is_refused_with_the_form_as_it_was(
    ada: Visitor, admin: FlaskClient, at: str, zone: str, why: str
) -> None:
    ada.visit("flags/new-checkout/plan").press("Plan it", at=at, zone=zone, percentage="60")

    assert ada.status == 400
    assert why in ada.text
    assert ada.form("Plan it").values["at"] == [at]
    assert agenda(admin) == []


def test_which_of_two_instants_is_meant_can_be_said(ada: Visitor, admin: FlaskClient) -> None:
    ada.visit("flags/new-checkout/plan")
    ada.press("Plan it", at="2096-10-28T02:30", zone="Europe/Berlin", fold="later", percentage="60")

    assert agenda(admin)[0][0] == "2096-10-28T01:30:00Z"


def test_a_change_may_ask_for_a_flag_that_nobody_edits(ada: Visitor, admin: FlaskClient, clock: ManualClock) -> None:
    ada.visit("flags/new-checkout/plan").press("Plan it", at="2096-06-01T12:01", percentage="60", unedited="on")
    ada.press("Set it now", percentage="30")
    clock.advance(seconds=90)

    ada.visit("flags/new-checkout")

    assert flag(admin)["rolloutPercentage"] == 30
    assert "skipped" in ada.text
    assert "wanted unedited, found an edit by hand in version 2" in ada.text


def test_an_entry_is_undone_and_the_undo_as_well(ada: Visitor, admin: FlaskClient) -> None:
    ada.visit("flags/new-checkout").press("Set it now", percentage="40")

    for expected in (20, 40):
        ada.follow("Undo").press("Undo it")
        assert flag(admin)["rolloutPercentage"] == expected


def test_undoing_what_was_changed_since_shows_all_three_states_and_can_be_forced(
    ada: Visitor, admin: FlaskClient
) -> None:
    ada.visit("flags/new-checkout").press("Set it now", percentage="40")
    ada.press("Set it now", percentage="60")

    first = next(link for link in Forms(ada.html).links if "/undo/" in link and link not in Forms(ada.html).links[:1])
    edits = [link for link in Forms(ada.html).links if "/undo/" in link]
    assert first in edits
    ada.visit(edits[1]).press("Undo it")
    assert ada.status == 409
    assert "rolloutPercentage 20 40 60" in ada.text

    ada.press("Set it back all the same")
    assert flag(admin)["rolloutPercentage"] == 20


def test_a_flag_is_archived_and_restored_from_the_history(ada: Visitor, admin: FlaskClient) -> None:
    plan(admin, 60)
    ada.visit("flags/new-checkout").follow("Archive this flag…")
    assert "1 planned change is cancelled." in ada.text
    ada.press("Archive it")
    assert admin.get(f"{FLAGS}/new-checkout").status_code == 404

    ada.follow("Undo").press("Undo it")

    assert flag(admin)["rolloutPercentage"] == 20
    assert agenda(admin) == []


def test_users_are_set_apart_and_treated_like_all_others_again(ada: Visitor, admin: FlaskClient) -> None:
    ada.visit("flags/new-checkout").press("Set apart", user="eve", kind="exclude", why="complained")
    users = admin.get(f"{FLAGS}/new-checkout/users").json["users"]
    assert [(one["userId"], one["override"], one["reason"]) for one in users] == [("eve", "exclude", "complained")]

    ada.press("Remove eve")
    assert admin.get(f"{FLAGS}/new-checkout/users").json["users"] == []

    ada.press("Set apart", user="")
    assert (ada.status, "userId" in ada.text) == (400, True)


def test_a_freeze_lists_what_it_defers_then_refuses_edits_that_do_not_say_why(
    ada: Visitor, admin: FlaskClient, clock: ManualClock
) -> None:
    plan(admin, 120)
    ada.visit("freezes").follow("Freeze production")
    ada.press("See what it defers", **{"until": "2096-06-01T13:00", "reason": "the sale"})
    assert "It defers 1 planned change: new-checkout: 21 %, planned for Fri 1 Jun, 12:02" in ada.text
    ada.press("Freeze production")
    assert "all of production" in ada.text

    clock.advance(seconds=180)
    ada.visit("flags/new-checkout").press("Set it now", percentage="5")
    assert (ada.status, "Why in spite of the freeze?" in ada.text) == (409, True)
    assert flag(admin)["rolloutPercentage"] == 20
    ada.press("Set it now", percentage="5", override="the director asked")
    assert flag(admin)["rolloutPercentage"] == 5
    assert "in spite of a freeze: the director asked" in ada.text

    ada.visit("freezes").follow("Release…").press("Release", then="catchUp")
    assert flag(admin)["rolloutPercentage"] == 21


def test_the_history_is_filtered_paged_and_downloaded(ada: Visitor, admin: FlaskClient) -> None:
    for percentage in range(60):
        admin.patch(f"{FLAGS}/dark-mode", json={"rolloutPercentage": percentage})

    ada.visit("history?flagKey=dark-mode&action=flag.updated")
    assert ("set it from 58 % to 59 %" in ada.text, "set it from 8 % to 9 %" in ada.text) == (True, False)
    ada.follow("Older entries")
    assert "set it from 8 % to 9 %" in ada.text

    lines = list(csv.DictReader(StringIO(ada.client.get("/console/history.csv?flagKey=dark-mode").text)))
    assert len(lines) == 61
    assert (lines[0]["actor"], lines[0]["action"], lines[0]["effectiveAt"]) == (
        "ada",
        "flag.updated",
        "2096-06-01T12:00:00Z",
    )


def test_a_csv_has_no_formulas(visit: Visit, ada: Visitor) -> None:
    visit(name="=cmd|' /C calc'!A0").visit("flags/dark-mode").press("Set it now", percentage="9")

    lines = list(csv.DictReader(StringIO(ada.client.get("/console/history.csv").text)))

    assert lines[0]["actor"] == "'=cmd|' /C calc'!A0"


def test_an_open_page_asks_from_memory_whether_anything_has_changed(ada: Visitor, admin: FlaskClient) -> None:
    first = ada.client.get("/console/live")
    same = next(one for one in Forms(first.text).addresses if "seen=" in one)

    quiet = ada.client.get(f"{CONSOLE}{same}")
    assert (quiet.status_code, quiet.text) == (204, "")

    plan(admin, 3600)
    until(lambda: ada.client.get(f"{CONSOLE}{same}").status_code == 200, what="it sees the change")
    assert ada.client.get(f"{CONSOLE}{same}").headers["HX-Trigger"] == "changed"


def test_pages_hold_below_a_prefix_that_a_proxy_removes(ada: Visitor, admin: FlaskClient) -> None:
    plan_id = plan(admin, 60)

    for path in (
        "",
        "plans",
        f"plans/{plan_id}",
        "flags/new-checkout",
        "flags/new-checkout/stop",
        "history",
        "unknown/x/y",
    ):
        page = Forms(ada.visit(path).html)
        assert page.base == ("../" * path.count("/") or "./")
        assert [one for one in page.addresses if one.startswith(("/", "http"))] == []


def test_what_people_have_typed_is_shown_and_not_run(ada: Visitor, admin: FlaskClient) -> None:
    evil = "<script>alert(1)</script>\"'\u202e"
    admin.patch(f"{FLAGS}/dark-mode", json={"description": evil})
    plan_id = plan(admin, 60, title=evil)
    admin.post(f"{FLAGS}/dark-mode/holds", json={"reason": evil})
    user = {"userId": evil.replace("/", ""), "override": "include", "reason": evil}
    admin.post(f"{FLAGS}/dark-mode/users", json=user)

    for path in (
        "",
        "plans",
        f"plans/{plan_id}",
        "flags/dark-mode",
        "freezes",
        "history",
        f"?q={evil}",
        "flags/%3Cscript%3E",
    ):
        html = ada.visit(path).html
        assert "<script>alert" not in html, path
        assert "alert" in html or "script" in html


def test_a_viewer_sees_no_button_that_would_be_refused(visit: Visit, admin: FlaskClient) -> None:
    plan_id = plan(admin, 60)
    admin.post(f"{FLAGS}/dark-mode/holds", json={"reason": "look"})
    allowed = {"Sign out", "Search", "Show", "Show times so"}

    for role, more in (("viewer", set()), ("operator", {"Stop it"})):
        visitor = visit(role)
        for path in ("", "plans", f"plans/{plan_id}", "flags/dark-mode", "freezes", "history"):
            page = visitor.visit(path)
            forms = Forms(page.html)
            assert {name for form in forms.forms for name in form.buttons} <= allowed, path
            for link in forms.links:
                if not link.endswith(".csv") and "static" not in link:
                    assert visitor.client.get(visitor.address_of(link)).status_code == 200, (role, path, link)
        assert all(name in visitor.visit("flags/dark-mode").text for name in more)


def test_times_are_shown_in_the_zone_of_the_person_with_utc_beside_them(ada: Visitor, admin: FlaskClient) -> None:
    plan(admin, 12 * 3600)

    ada.visit("zone").press("Show times so", zone="Pacific/Auckland")

    assert "Sat 2 Jun, 12:00 (00:00 UTC)" in ada.text
    assert ada.visit("zone").press("Show times so", zone="Mars").status == 400
