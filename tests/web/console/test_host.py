"""The console in somebody's own Flask app."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import JWTManager, create_access_token

from flagsched import FlagSched
from flagsched.bootstrap.web import create_app
from tests.console import Forms, Visitor
from tests.services import web_settings

PREFIX = "/switches"
SECRET = "the-host-s-own-key-0123456789-abcdefghijklmno"
HEADERS = {"the usual one": {}, "its own": {"JWT_HEADER_NAME": "X-Host-Token", "JWT_HEADER_TYPE": "Token"}}


@pytest.fixture(params=HEADERS)
def host(request: pytest.FixtureRequest, sqlite_url: sa.URL) -> Iterator[Flask]:
    """An app whose JWTManager reads tokens from one header or another, and which has a template called base.html."""
    app = Flask("host")
    app.config.update(HEADERS[request.param], JWT_SECRET_KEY=SECRET)
    JWTManager(app)
    app.jinja_env.globals["person"] = "the host's own"
    app.add_url_rule("/", "home", lambda: "the host's own page")
    flags = FlagSched(app, url=sqlite_url.render_as_string(hide_password=False), url_prefix=PREFIX, console=True)
    yield app
    flags.close()


def signed_in(app: Flask, role: str = "admin") -> Visitor:
    with app.app_context():
        token = create_access_token("ada", additional_claims={"role": role})
    visitor = Visitor(app.test_client(), role=None, prefix=PREFIX)
    visitor.sign_in(token)
    return visitor


def test_people_sign_in_with_the_hosts_tokens_and_work_under_its_prefix(host: Flask) -> None:
    ada = signed_in(host).visit("new-flag").press("Create the flag", key="new-checkout", enabled="on")

    assert ada.at == "/switches/console/flags/new-checkout?environment=production"
    ada.follow("Stop it").press("Stop it now")
    assert "Held since" in ada.text
    for path in ("", "plans", "flags/new-checkout/stop", "history", "nowhere/at/all"):
        page = Forms(ada.visit(path).html)
        assert [one for one in page.addresses if one.startswith(("/", "http"))] == []
    assert host.test_client().get("/").text == "the host's own page"


def test_a_role_is_needed_there_as_well(host: Flask) -> None:
    assert signed_in(host, "viewer").visit("new-flag").status == 403
    assert signed_in(host, "reader").status == 403


def test_without_asking_there_is_no_console(sqlite_url: sa.URL) -> None:
    app = Flask("host")
    FlagSched(app, url=sqlite_url.render_as_string(hide_password=False), claims=lambda: {"sub": "ada", "role": "admin"})
    client: FlaskClient = app.test_client()

    assert client.get("/console/").status_code == 404
    assert client.get("/console/sign-in").status_code == 404


def test_a_server_may_be_run_without_it(sqlite_url: sa.URL) -> None:
    client = create_app(replace(web_settings(sqlite_url), console=False)).test_client()

    assert client.get("/console/sign-in").status_code == 404
    assert client.get("/docs").status_code == 200
