"""Who gets into the console, and what keeps others out."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import create_refresh_token

from flagsched.web.access import EvaluationRules
from flagsched.web.auth import make_token
from flagsched.web.console.door import make_link
from tests.console import CONSOLE, Visitor
from tests.openapi import described
from tests.rows import count
from tests.tokens import signed
from tests.web.console.conftest import Visit

FIELDS = """
    environment range moved q after cursor status flagKey actor action key at zone fold percentage enabled reason until
    from then version user kind shape flag starts rows title enabled_0 percentage_0 after_1 later_0 ramp_from ramp_steps
    ramp_number opens closes change_flag_0 change_at_0 number unit step link token next seen override
"""
OPEN = {"GET /console", "GET sign-in", "POST sign-in", "POST sign-out", "GET static/{name}"}
# By hand: the least role that each page needs. Whoever adds a page decides here who may see it.
LEAST_ROLE = {
    "GET ": "viewer",
    "GET rows": "viewer",
    "GET next": "viewer",
    "GET live": "viewer",
    "GET zone": "viewer",
    "POST zone": "viewer",
    "GET {unknown}": "viewer",
    "GET new-flag": "admin",
    "POST new-flag": "admin",
    "GET flags/{flag_key}": "viewer",
    "GET flags/{flag_key}/now": "viewer",
    "POST flags/{flag_key}/set": "admin",
    "GET flags/{flag_key}/stop": "operator",
    "POST flags/{flag_key}/stop": "operator",
    "GET flags/{flag_key}/plan": "admin",
    "POST flags/{flag_key}/plan": "admin",
    "GET flags/{flag_key}/schedules/{schedule_id}/edit": "admin",
    "POST flags/{flag_key}/schedules/{schedule_id}/edit": "admin",
    "GET flags/{flag_key}/schedules/{schedule_id}/cancel": "admin",
    "POST flags/{flag_key}/schedules/{schedule_id}/cancel": "admin",
    "GET flags/{flag_key}/archive": "admin",
    "POST flags/{flag_key}/archive": "admin",
    "GET flags/{flag_key}/undo/{entry_id}": "admin",
    "POST flags/{flag_key}/undo/{entry_id}": "admin",
    "POST flags/{flag_key}/overrides": "admin",
    "POST flags/{flag_key}/overrides/remove": "admin",
    "GET holds/{hold_id}/release": "operator",
    "POST holds/{hold_id}/release": "operator",
    "GET plans": "viewer",
    "GET plans/{plan_id}": "viewer",
    "GET plans/{plan_id}/now": "viewer",
    "GET plans/{plan_id}/shift": "admin",
    "POST plans/{plan_id}/shift": "admin",
    "GET plans/{plan_id}/end": "admin",
    "POST plans/{plan_id}/end": "admin",
    "GET plans/{plan_id}/hold": "operator",
    "POST plans/{plan_id}/hold": "operator",
    "GET plans/{plan_id}/release": "operator",
    "POST plans/{plan_id}/release": "operator",
    "GET plans/{plan_id}/undo": "admin",
    "POST plans/{plan_id}/undo": "admin",
    "GET new-plan": "admin",
    "POST new-plan": "admin",
    "POST new-plan/preview": "viewer",
    "GET freezes": "viewer",
    "GET new-freeze": "operator",
    "POST new-freeze": "operator",
    "GET history": "viewer",
    "GET history.csv": "viewer",
}
ORDER = ["viewer", "operator", "admin"]
NO_ID = "00000000-0000-0000-0000-000000000000"


def pages(app: Flask) -> dict[str, str]:
    """The address of each page that is not open to all, by its method and its path as in the table."""
    found: dict[str, str] = {}
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/console"):
            path = described(rule).removeprefix(CONSOLE)
            address = re.sub(r"<uuid:\w+>", NO_ID, rule.rule).replace("<int:entry_id>", "1")
            address = address.replace("<flag_key>", "new-checkout").replace("<path:unknown>", "unknown")
            found |= {f"{method} {path}": address for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    return {route: address for route, address in found.items() if route not in OPEN}


def test_every_page_has_a_role_in_the_table(app: Flask) -> None:
    assert pages(app).keys() == LEAST_ROLE.keys()


@pytest.mark.parametrize("role", ["viewer", "operator", "admin", "reader"])
def test_a_role_opens_the_pages_of_the_table_and_no_others(
    app: Flask, visit: Visit, engine: sa.Engine, role: str
) -> None:
    visitor = visit(role)
    key = form_key_of(visitor)

    for route, address in pages(app).items():
        method = route.partition(" ")[0]
        answer = visitor.client.open(address, method=method, data={"form_key": key} if method == "POST" else None)
        opens = role in ORDER and ORDER.index(role) >= ORDER.index(LEAST_ROLE[route])
        assert (answer.status_code != 403) == opens, (route, answer.status_code)
        assert answer.status_code < 500, route

    assert count(engine, "feature_flags") == 0


def form_key_of(visitor: Visitor) -> str:
    cookie = visitor.client.get_cookie("flagsched_form", path=CONSOLE.rstrip("/"))
    assert cookie
    return str(cookie.value)


def test_whoever_is_signed_out_signs_in_and_comes_to_the_page_that_was_asked_for(visit: Visit) -> None:
    visitor = visit(None).visit("plans?status=held")
    assert visitor.at == "/console/sign-in?next=plans%3Fstatus%3Dheld"

    visitor.press("Sign in", token=f" {signed()}\n")

    assert (visitor.status, visitor.at) == (200, "/console/plans?status=held")


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("", "not a JWT"),
        ("nonsense", "not a JWT"),
        (signed(exp=1), "expired"),
        (signed("another-key" * 8), "bad signature"),
    ],
)
def test_a_token_that_is_not_valid_is_refused_with_the_reason(visit: Visit, token: str, why: str) -> None:
    visitor = visit(None).visit("sign-in").press("Sign in", token=token)

    assert visitor.status == 401
    assert why in visitor.text
    assert not visitor.client.get_cookie("flagsched_session", path="/console")


def test_failed_sign_ins_are_counted(app_with: Callable[[EvaluationRules], Flask]) -> None:
    visitor = Visitor(app_with(EvaluationRules()).test_client(), role=None).visit("sign-in")

    statuses = [visitor.press("Sign in", token=text).status for text in ("a.b.c",) * 4]

    assert statuses == [401, 401, 401, 429]


def test_signing_out_forgets_the_token(ada: Visitor) -> None:
    ada.press("Sign out")

    assert ada.at == "/console/sign-in"
    assert ada.visit("plans").at == "/console/sign-in?next=plans"


def test_a_token_that_ends_leads_to_the_page_to_sign_in(ada: Visitor) -> None:
    ada.client.set_cookie("flagsched_session", signed(exp=1), path="/console")

    ada.visit("plans")

    assert "You were signed out: the token is expired." in ada.text


def test_the_cookies_are_for_the_console_alone(visit: Visit) -> None:
    visitor = visit(None)
    page = visitor.client.get("/console/sign-in", base_url="https://flags.example")
    key = re.search(r'name="form_key" value="([^"]+)"', page.text)
    assert key
    answer = visitor.client.post(
        "/console/sign-in", data={"token": signed(), "form_key": key[1]}, base_url="https://flags.example"
    )

    for sent in (*page.headers.getlist("Set-Cookie"), *answer.headers.getlist("Set-Cookie")):
        assert {"HttpOnly", "Secure", "SameSite=Strict"} <= set(sent.split("; "))
        assert "Path=" not in sent
    assert [one.partition("=")[0] for one in answer.headers.getlist("Set-Cookie")] == ["flagsched_session"]


def test_a_link_signs_in_once(app: Flask, visit: Visit) -> None:
    with app.app_context():
        code = make_link("grace", "operator")

    first = visit(None).visit(f"sign-in?link={code}").press("Sign in")
    second = visit(None).visit(f"sign-in?link={code}").press("Sign in")

    assert (first.status, "grace" in first.text) == (200, True)
    assert first.visit("new-plan").status == 403
    assert (second.status, "used already" in second.text) == (401, True)


def codes() -> dict[str, Callable[[], str]]:
    return {
        "an access token": lambda: make_token("grace", "admin", timedelta(minutes=5)),
        "expired": lambda: create_refresh_token("grace", expires_delta=timedelta(seconds=-60)),
        "without a role": lambda: create_refresh_token("grace"),
        "nonsense": lambda: "a.b.c",
    }


@pytest.mark.parametrize("name", codes())
def test_what_is_no_link_signs_nobody_in(app: Flask, visit: Visit, name: str) -> None:
    with app.app_context():
        code = codes()[name]()

    visitor = visit(None).visit(f"sign-in?link={code}").press("Sign in")

    assert visitor.status == 401
    assert visitor.visit("").at.startswith("/console/sign-in")


def test_a_link_is_no_token_of_the_api(app: Flask, anyone: FlaskClient) -> None:
    with app.app_context():
        code = make_link("grace", "admin")

    answer = anyone.get("/api/admin/flags", headers={"Authorization": f"Bearer {code}"})

    assert (answer.status_code, "not an access token" in answer.json["message"]) == (401, True)


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example/", "/api", "../../evil", "javascript:alert(1)", "\\\\evil", "a\nb"],
)
def test_signing_in_leads_nowhere_else(visit: Visit, elsewhere: str) -> None:
    visitor = visit(None).visit("sign-in")

    visitor.press("Sign in", token=signed(), next=elsewhere)

    assert visitor.at == CONSOLE


def test_a_form_without_the_key_of_the_browser_changes_nothing(app: Flask, ada: Visitor, engine: sa.Engine) -> None:
    sent: dict[str, Any] = {"key": "x", "environment": "production", "percentage": "1", "token": signed()}
    before = count(engine, "feature_flags")

    for route, address in pages(app).items():
        for forged in ("", "x", "A" * 43):
            if route.startswith("POST"):
                answer = ada.client.post(address, data=sent | {"form_key": forged})
                assert (answer.status_code, "not one that this page has made" in answer.text) == (403, True), route
    stranger = app.test_client().post("/console/sign-in", data=sent | {"form_key": "A" * 43})

    assert stranger.status_code == 403
    assert count(engine, "feature_flags") == before


def test_a_page_takes_nothing_from_elsewhere_and_is_shown_in_no_frame(app: Flask, ada: Visitor) -> None:
    for route, address in pages(app).items():
        if route.startswith("GET"):
            answer = ada.client.get(address)
            assert answer.headers["Content-Security-Policy"] == (
                "default-src 'self'; form-action 'self'; frame-ancestors 'none'"
            ), route
            assert answer.headers["Cache-Control"] == "no-store"
            assert " style=" not in answer.text
            assert "onclick" not in answer.text


def test_a_file_is_served_to_all_and_no_other(visit: Visit) -> None:
    client = visit(None).client

    served = {name: client.get(f"/console/static/{name}").status_code for name in ("console.css", "htmx.min.js", "x")}

    assert served == {"console.css": 200, "htmx.min.js": 200, "x": 404}


def test_the_console_without_a_slash_leads_to_it(ada: Visitor) -> None:
    answer = ada.client.get("/console")

    assert (answer.status_code, answer.headers["Location"]) == (303, "console/")


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_nothing_that_a_browser_can_send_fails_the_server(app: Flask, ada: Visitor) -> None:
    odd = ["", "x" * 3000, "\x00", "\ud7ff", "-1", "9" * 30, "<script>", "2026-13-40T99:99", "P", "%"]
    key = form_key_of(ada)
    ada.client.post(
        "/console/new-flag",
        data={"form_key": key, "key": "new-checkout", "environment": "production", "percentage": "5"},
    )

    for route, address in pages(app).items():
        for text in odd:
            sent = dict.fromkeys(FIELDS.split(), text)
            if route.startswith("GET"):
                answer = ada.client.get(address, query_string=sent)
            else:
                answer = ada.client.post(address, query_string={"environment": text}, data=sent | {"form_key": key})
            assert answer.status_code < 500, (route, text[:20], answer.text[:500])
