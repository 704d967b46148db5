"""Which role opens which route under /api/admin."""

from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient

from flagsched.bootstrap.cli import flagsched
from flagsched.bootstrap.web import create_app
from flagsched.database.unit_of_work import SqlStore
from flagsched.web.admin.blueprint import AdminBlueprint
from flagsched.web.roles import Role
from tests.builders import after
from tests.openapi import described, operations
from tests.rows import count
from tests.services import web_settings
from tests.tokens import signed
from tests.web.test_app import address, routes

PREFIX = "/api/admin"
FLAGS = f"{PREFIX}/flags"
CHANGES = {"schedules": [{"scheduledAt": after(60).isoformat(), "updates": {"enabled": True}}]}
# By hand: the least role that each route needs. Whoever adds a route decides here who may use it.
LEAST_ROLE = {
    "GET /flags": "viewer",
    "POST /flags": "admin",
    "GET /flags/{flag_key}": "viewer",
    "PATCH /flags/{flag_key}": "admin",
    "POST /flags/{flag_key}": "admin",
    "DELETE /flags/{flag_key}": "admin",
    "GET /flags/{flag_key}/schedule": "viewer",
    "POST /flags/{flag_key}/schedule": "admin",
    "POST /flags/{flag_key}/schedule/bulk": "admin",
    "POST /flags/{flag_key}/schedule/preview": "viewer",
    "GET /flags/{flag_key}/schedule/{schedule_id}": "viewer",
    "PATCH /flags/{flag_key}/schedule/{schedule_id}": "admin",
    "DELETE /flags/{flag_key}/schedule/{schedule_id}": "admin",
    "GET /flags/{flag_key}/timeline": "viewer",
    "GET /flags/{flag_key}/history": "viewer",
    "GET /flags/{flag_key}/users": "viewer",
    "POST /flags/{flag_key}/users": "admin",
    "GET /flags/{flag_key}/users/{user_id}": "viewer",
    "DELETE /flags/{flag_key}/users/{user_id}": "admin",
    "GET /schedules": "viewer",
    "GET /history": "viewer",
    "GET /plans": "viewer",
    "POST /plans": "admin",
    "POST /plans/preview": "viewer",
    "GET /plans/{plan_id}": "viewer",
    "PATCH /plans/{plan_id}": "admin",
    "DELETE /plans/{plan_id}": "admin",
    "PUT /named-plans/{plan_name}": "admin",
    "POST /flags/{flag_key}/undo": "admin",
    "POST /plans/{plan_id}/undo": "admin",
    "POST /flags/{flag_key}/holds": "operator",
    "POST /environments/{environment}/holds": "operator",
    "POST /plans/{plan_id}/holds": "operator",
    "POST /plans/{plan_id}/release": "operator",
    "GET /holds": "viewer",
    "GET /holds/{hold_id}": "viewer",
    "PATCH /holds/{hold_id}": "operator",
    "POST /holds/{hold_id}/release": "operator",
}
# The routes that a token with these roles opens, by the least role that they need.
OPENS: dict[str, tuple[Any, set[str]]] = {
    "viewer": ("viewer", {"viewer"}),
    "operator": ("operator", {"viewer", "operator"}),
    "admin": ("admin", {"viewer", "operator", "admin"}),
    "none of them": ("reader", set()),
    "Admin": ("Admin", set()),
    "no role": (None, set()),
    "an empty list": ([], set()),
    "viewer and operator": (["viewer", "operator"], {"viewer", "operator"}),
    "operator and viewer": (["operator", "viewer"], {"viewer", "operator"}),
    "viewer and admin": (["viewer", "admin"], {"viewer", "operator", "admin"}),
    "another and viewer": (["reader", "viewer"], {"viewer"}),
}


def bearer(role: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {signed(role=role)}"}


def admin_routes(app: Flask) -> dict[str, str]:
    """The address of each route, by its method and its path as in the table."""
    return {
        f"{method} {described(rule).removeprefix(PREFIX)}": address(rule)
        for rule, method in routes(app)
        if rule.rule.startswith(f"{PREFIX}/")
    }


def test_every_route_has_a_role_in_the_table(app: Flask) -> None:
    assert admin_routes(app).keys() == LEAST_ROLE.keys()


@pytest.mark.parametrize("name", OPENS)
def test_a_role_opens_the_routes_of_the_table_and_no_others(
    app: Flask, anyone: FlaskClient, engine: sa.Engine, name: str
) -> None:
    role, opens = OPENS[name]

    for route, path in admin_routes(app).items():
        method = route.partition(" ")[0]
        for sent in ("GET", "HEAD") if method == "GET" else (method,):
            # A body that is no JSON: read before the role, it would be answered 400.
            answer = anyone.open(path, method=sent, data="{", content_type="application/json", headers=bearer(role))
            assert (answer.status_code != 403) == (LEAST_ROLE[route] in opens), (sent, route)

    assert count(engine, "feature_flags") == 0


def test_every_operation_is_described_with_the_role_of_the_table(anyone: FlaskClient) -> None:
    document = anyone.get("/openapi.json").json

    told = {f"{one.method} {one.path}": one.described.get("x-required-role") for one in operations(document)}

    assert {route.replace(PREFIX, "", 1): role for route, role in told.items() if role} == LEAST_ROLE
    assert all(route.split(" ")[1].startswith(f"{PREFIX}/") for route, role in told.items() if role)


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_whoever_is_no_admin_reads_and_previews_and_changes_no_flag(
    admin: FlaskClient, anyone: FlaskClient, role: str
) -> None:
    admin.post(FLAGS, json={"key": "new-checkout"})
    headers = bearer(role)
    flag = f"{FLAGS}/new-checkout"

    read = anyone.get(flag, headers=headers)
    previewed = anyone.post(f"{flag}/schedule/preview", json=CHANGES, headers=headers)
    planned = anyone.post(f"{flag}/schedule/bulk", json=CHANGES, headers=headers)
    edited = anyone.patch(flag, json={"enabled": True}, headers=headers)

    assert [one.status_code for one in (read, previewed, planned, edited)] == [200, 200, 403, 403]
    assert [one["enabled"] for one in previewed.json["segments"]] == [False, True]
    assert anyone.get(flag, headers=headers).json == read.json
    assert anyone.get(f"{flag}/schedule", headers=headers).json == []


@pytest.fixture
def undecided(url: sa.URL, store: SqlStore) -> FlaskClient:
    """A client of an app with routes that say who may use them, and with some that do not."""
    blueprint = AdminBlueprint("undecided", "Routes of this test.")
    for role in Role:
        blueprint.post(f"/{role}", endpoint=role.value, role=role)(lambda: "done")
        blueprint.get(f"/{role}", endpoint=f"read_{role}", role=role)(lambda: "done")
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        blueprint.add_url_rule("/silent", method.lower(), lambda: "done", methods=[method])
    blueprint.add_url_rule("/mixed", "mixed", lambda: "done", methods=["GET", "POST"])
    app = create_app(web_settings(url), store=store)
    app.register_blueprint(blueprint)
    return app.test_client()


def openers(client: FlaskClient, method: str, path: str) -> list[str]:
    """The roles that open this route."""
    return [
        role for role in Role if client.open(f"{PREFIX}{path}", method=method, headers=bearer(role)).status_code == 200
    ]


def test_a_route_may_say_whom_it_is_for(undecided: FlaskClient) -> None:
    for method in ("GET", "HEAD", "POST"):
        assert openers(undecided, method, "/viewer") == ["viewer", "operator", "admin"]
        assert openers(undecided, method, "/operator") == ["operator", "admin"]
        assert openers(undecided, method, "/admin") == ["admin"]


def test_a_route_that_does_not_say_is_for_admins_unless_it_only_reads(undecided: FlaskClient) -> None:
    assert openers(undecided, "GET", "/silent") == openers(undecided, "HEAD", "/silent") == list(Role)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert openers(undecided, method, "/silent") == ["admin"]
    assert openers(undecided, "GET", "/mixed") == openers(undecided, "POST", "/mixed") == ["admin"]


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("/viewer", "'viewer', 'operator' or 'admin'"),
        ("/operator", "'operator' or 'admin'"),
        ("/admin", "'admin'"),
    ],
)
def test_a_403_names_each_role_that_would_do(undecided: FlaskClient, path: str, needed: str) -> None:
    answer = undecided.post(f"{PREFIX}{path}", headers=bearer("reader"))

    why = f"this needs a token with the role {needed} in its claim 'role'"
    assert (answer.status_code, answer.json["error"], answer.json["message"]) == (403, "FORBIDDEN", why)
    assert f'error_description="{why}"' in answer.headers["WWW-Authenticate"]


def test_the_command_says_what_each_role_may_do() -> None:
    told = " ".join(CliRunner().invoke(flagsched, ["token", "--help"]).output.split())

    assert "'viewer' reads and previews, 'operator' also holds and releases, 'admin' does everything" in told
