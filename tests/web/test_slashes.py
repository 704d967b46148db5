"""A path with an extra slash is another path: 404 by any method, and never a redirect."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from flask_jwt_extended import JWTManager

from flagsched import FlagSched
from flagsched.bootstrap.web import create_app
from tests.builders import SECRET
from tests.e2e.test_bodies import exchange
from tests.processes import a_token, web
from tests.services import web_settings

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
PATHS = [
    "//api/admin/flags",
    "///api/admin/flags",
    "//api/admin/flags/new-checkout",
    "//api/admin/flags/new-checkout/schedule/bulk",
    "//api/admin/nothing",
    "/api//admin/flags",
    "/api///admin/flags",
    "/api/admin//flags",
    "/api/admin/flags//",
    "/api/admin/flags//new-checkout",
    "//api/config/flags",
    "/api/config//flags",
    "//ofrep/v1/evaluate/flags",
    "//ofrep/v1/evaluate/flags/new-checkout",
    "///ofrep/v1/evaluate/flags",
    "/ofrep//v1/evaluate/flags",
    "/ofrep/v1//evaluate/flags",
    "/ofrep/v1/evaluate/flags//new-checkout",
    "//ofrep",
]
STANDALONE = ["//healthz", "//readyz", "///healthz", "//openapi.json", "//docs", "//docs/docs.js", "//", "///"]


def sent(client: FlaskClient, path: str, method: str) -> Any:
    # The test client takes what follows two slashes for a host, unlike a server.
    return client.open(
        "/x", method=method, environ_overrides={"PATH_INFO": path}, json={"context": {}} if method == "POST" else None
    )


def assert_missing(answer: Any, path: str, method: str) -> None:
    assert answer.status_code == 404, (path, method, answer.text)
    assert "Location" not in answer.headers
    assert answer.content_type == "application/json"
    if method != "HEAD":
        assert ("errorDetails" in answer.json) == path.lstrip("/").startswith("ofrep/"), (path, method)
        assert ("requestId" in answer.json) != ("errorDetails" in answer.json)


@pytest.fixture
def standalone(url: sa.URL) -> FlaskClient:
    """The app by itself: the suite's own app looks each path up in the document, where slashes are merged."""
    client = create_app(web_settings(url)).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {a_token()}"
    return client


@pytest.mark.parametrize("path", [*PATHS, *STANDALONE])
def test_a_slash_too_many_is_not_found_by_any_method(standalone: FlaskClient, path: str) -> None:
    for method in METHODS:
        assert_missing(sent(standalone, path, method), path, method)


@pytest.fixture
def hosted(url: sa.URL) -> FlaskClient:
    """flagsched in an app that merges slashes, as Flask does by itself."""
    app = Flask("host")
    app.config["JWT_SECRET_KEY"] = SECRET
    JWTManager(app)
    FlagSched(app, url=url.render_as_string(hide_password=False)).close()
    app.add_url_rule("/own", "own", lambda: "the host's own")
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {a_token()}"
    return client


@pytest.mark.parametrize("path", PATHS)
def test_in_a_host_too(hosted: FlaskClient, path: str) -> None:
    for method in METHODS:
        assert_missing(sent(hosted, path, method), path, method)


def test_a_host_keeps_its_own_slashes(hosted: FlaskClient) -> None:
    assert sent(hosted, "//own", "GET").text == "the host's own"


def test_a_user_may_have_slashes_in_the_name(admin: FlaskClient) -> None:
    users = "/api/admin/flags/new-checkout/users"
    admin.post("/api/admin/flags", json={"key": "new-checkout"})
    assert admin.post(users, json={"userId": "a//b", "override": "include"}).status_code == 201

    assert admin.get(f"{users}/a//b").json["userId"] == "a//b"


def test_over_the_wire_too(sqlite_url: sa.URL, tmp_path: Path) -> None:
    with web(sqlite_url, tmp_path / "web.log") as address:
        for target in [*PATHS, *STANDALONE, "http://x//api/admin/flags", "/%2Fapi/admin/flags", "//x/api/admin/flags"]:
            for method in ("GET", "PUT"):
                head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {a_token()}\r\n"
                answer = exchange(address, f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
                assert answer.startswith(b"HTTP/1.1 404"), (method, target, answer)
                assert b"application/json" in answer
