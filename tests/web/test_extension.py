"""flagsched in somebody's own Flask app, which keeps all its own behaviour."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import sqlalchemy as sa
import structlog
from flask import Flask, jsonify, request
from flask.testing import FlaskClient
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token, get_jwt_identity, jwt_required
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from flagsched import FlagSched
from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import Unauthenticated
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.materialise import materialise_due
from flagsched.web.rate_limits import RateLimits
from tests.processes import ROOT, until
from tests.rows import all_history


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


class Host:
    """An app with a database, tokens in a header of its own, and error pages of its own."""

    def __init__(self, url: sa.URL) -> None:
        self.app = Flask("host")
        self.app.config.update(
            SQLALCHEMY_DATABASE_URI=url,
            JWT_SECRET_KEY="the-host-s-own-key-0123456789-abcdefghijklmno",
            JWT_HEADER_NAME="X-Host-Token",
            JWT_HEADER_TYPE="Token",
        )
        self.db = SQLAlchemy(self.app, metadata=Base.metadata)
        self.jwt = JWTManager(self.app)
        self.after: list[int] = []
        self.app.register_error_handler(404, lambda _: ("the host's own 404", 404))
        self.app.register_error_handler(415, lambda _: ("the host's own 415", 415))
        self.app.register_error_handler(Exception, lambda _: ("the host's own 500", 500))
        self.app.after_request(self._count)
        self.app.add_url_rule("/api/notes", "notes", self.notes, methods=["GET", "POST"])
        self.app.add_url_rule("/me", "me", self.me)
        self.app.add_url_rule("/broken", "broken", lambda: str(1 / 0))

    def _count(self, answer: Any) -> Any:
        self.after.append(answer.status_code)
        return answer

    def notes(self) -> Any:
        if request.method == "POST":
            self.db.session.add(Note(text=request.json["text"]))
            self.db.session.commit()
        return jsonify([note.text for note in self.db.session.scalars(sa.select(Note))])

    @jwt_required()
    def me(self) -> str:
        return str(get_jwt_identity())

    def token(self, role: str = "admin") -> dict[str, str]:
        with self.app.app_context():
            return {"X-Host-Token": "Token " + create_access_token("hedy", additional_claims={"role": role})}


@pytest.fixture
def host(url: sa.URL) -> Iterator[Host]:
    host = Host(url)
    with host.app.app_context():
        host.db.create_all()
    yield host
    with host.app.app_context():
        host.db.drop_all()
        host.db.engine.dispose()


@pytest.fixture
def client(host: Host, url: sa.URL) -> FlaskClient:
    FlagSched(host.app, url=url.render_as_string(hide_password=False), url_prefix="/switches")
    return host.app.test_client()


ADMIN = "/switches/api/admin/flags"


def test_the_host_keeps_its_own_behaviour(host: Host, client: FlaskClient) -> None:
    assert client.post("/api/notes", json={"text": "a"}).json == ["a"]
    assert client.get("/none").text == "the host's own 404"
    assert client.get("/broken").text == "the host's own 500"
    assert client.get("/me", headers=host.token("reader")).text == "hedy"
    for path in ("/api/notes", "/none", "/broken"):
        headers = client.get(path).headers
        assert "X-Request-Id" not in headers
        assert "X-Frame-Options" not in headers
    assert len(host.app.extensions["flask-jwt-extended"].__class__.__mro__) == 2
    assert host.app.extensions["flask-jwt-extended"] is host.jwt
    assert len(host.after) == 7


@pytest.mark.parametrize("hook", ["before_request", "after_request"])
def test_the_host_may_read_bodies_itself(host: Host, client: FlaskClient, hook: str) -> None:
    read: list[bytes] = []

    def note(answer: Any = None) -> Any:
        read.append(request.get_data())
        return answer

    getattr(host.app, hook)(note)

    created = client.post(ADMIN, json={"key": "x", "enabled": True}, headers=host.token() | {"Idempotency-Key": "k"})
    evaluated = client.post("/switches/ofrep/v1/evaluate/flags", json={"context": {}})

    assert (created.status_code, evaluated.status_code, len(evaluated.json["flags"])) == (201, 200, 1)
    assert read == [b'{"enabled": true, "key": "x"}', b'{"context": {}}']


def test_the_host_plans_through_the_blueprint(host: Host, client: FlaskClient, engine: sa.Engine) -> None:
    created = client.post(ADMIN, json={"key": "x"}, headers=host.token())
    assert created.status_code == 201
    assert urljoin(ADMIN, created.headers["Location"]) == f"{ADMIN}/x?environment=production"
    at = (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat()
    planned = client.post(
        f"{ADMIN}/x/schedule/bulk",
        json={"schedules": [{"scheduledAt": at, "updates": {"enabled": True}}]},
        headers=host.token(),
    )
    assert planned.status_code == 201

    until(lambda: client.get("/switches/api/config/flags").json == {"x": True})

    materialise_due(SqlStore(engine), Backoff(lambda: 0.0))
    assert [(e.action, e.actor) for e in all_history(engine)] == [
        ("flag.created", "hedy"),
        ("schedule.created", "hedy"),
        ("schedule.applied", "flagsched"),
    ]
    assert host.after == [201, 201, *[200] * (len(host.after) - 2)]


def test_the_host_answers_openfeature_too(host: Host, client: FlaskClient) -> None:
    client.post(ADMIN, json={"key": "x", "enabled": True}, headers=host.token())
    ofrep, body = "/switches/ofrep/v1/evaluate/flags", {"context": {"targetingKey": "ada"}}

    one, every, none = (client.post(f"{ofrep}{path}", json=body).json for path in ("/x", "", "/none"))

    assert (one["key"], one["value"], one["reason"]) == ("x", True, "STATIC")
    assert every == {"flags": [one]}
    assert none["errorCode"] == "FLAG_NOT_FOUND"


def test_a_host_that_answers_before_us_has_its_answer_kept(host: Host, client: FlaskClient) -> None:
    structlog.contextvars.bind_contextvars(request_id="the host's", tenant="seven")
    host.app.before_request(lambda: ("closed for the night", 403) if request.path.startswith("/switches") else None)

    answer = client.get(ADMIN, headers=host.token())

    assert (answer.status_code, answer.text) == (403, "closed for the night")
    assert structlog.contextvars.get_contextvars() == {"request_id": "the host's", "tenant": "seven"}
    structlog.contextvars.clear_contextvars()


def test_our_routes_answer_their_errors_themselves(host: Host, client: FlaskClient) -> None:
    for answer, status, code in (
        (client.get(ADMIN), 401, "UNAUTHORIZED"),
        (client.get(ADMIN, headers=host.token("reader")), 403, "FORBIDDEN"),
        (client.post(ADMIN, json={"key": "x"}, headers=host.token("viewer")), 403, "FORBIDDEN"),
        (client.get(f"{ADMIN}/none", headers=host.token()), 404, "FLAG_NOT_FOUND"),
        (client.post(ADMIN, json={}, headers=host.token()), 400, "Validation failed"),
        (client.post(ADMIN, data="x", headers=host.token()), 415, "UNSUPPORTED_MEDIA_TYPE"),
    ):
        assert (answer.status_code, answer.json["error"]) == (status, code)
        assert answer.json["requestId"] == answer.headers["X-Request-Id"]


def test_a_token_that_the_hosts_manager_refuses_is_told_why(host: Host, client: FlaskClient) -> None:
    with host.app.app_context():
        tokens = {
            "expired": create_access_token("hedy", expires_delta=timedelta(seconds=-1)),
            "not an access token": create_refresh_token("hedy"),
            "bad signature": create_access_token("hedy")[:-4] + "AAAA",
            "not a JWT": "x",
        }

    for problem, token in tokens.items():
        answer = client.get(ADMIN, headers={"X-Host-Token": f"Token {token}"})
        assert (answer.status_code, answer.json["message"]) == (401, f"the token is not valid: {problem}")
        assert f'error_description="{problem}"' in answer.headers["WWW-Authenticate"]
    assert client.get(ADMIN).headers["WWW-Authenticate"] == 'Bearer realm="flagsched"'


def test_a_hosts_tokens_need_neither_an_issuer_nor_what_flagsched_asks_of_its_own(
    host: Host, client: FlaskClient
) -> None:
    with host.app.app_context():
        token = create_access_token("hedy", expires_delta=timedelta(days=90), additional_claims={"role": "admin"})

    assert client.get(ADMIN, headers={"X-Host-Token": f"Token {token}"}).status_code == 200


def test_a_host_may_verify_tokens_in_its_own_way(host: Host, url: sa.URL) -> None:
    def claims() -> dict[str, str]:
        if request.headers.get("X-Key") != "sesame":
            raise Unauthenticated("say the word")
        return {"sub": "ali", "role": "admin"}

    FlagSched(host.app, url=url.render_as_string(hide_password=False), claims=claims)
    client = host.app.test_client()

    assert client.get("/api/admin/flags").json["message"] == "say the word"
    assert client.get("/api/admin/flags", headers={"X-Key": "sesame"}).status_code == 200


def test_a_host_may_share_its_engine(host: Host, url: sa.URL) -> None:
    shared = open_engine(url, Limits()) if url.get_backend_name() == "sqlite" else sa.create_engine(url)
    FlagSched(host.app, engine=shared)
    client = host.app.test_client()

    assert client.post("/api/admin/flags", json={"key": "x"}, headers=host.token()).status_code == 201
    assert client.get("/api/config/flags").json == {"x": False}
    shared.dispose()


def test_what_no_route_matches_is_answered_as_json_under_our_prefixes_only(host: Host, client: FlaskClient) -> None:
    for method, path, status in (
        ("PUT", ADMIN, 405),
        ("GET", f"{ADMIN}/x/schedule/bulk", 405),
        ("DELETE", f"{ADMIN}/x/schedule/preview", 405),
        ("GET", f"{ADMIN}/x/schedule/no-uuid", 404),
        ("OPTIONS", ADMIN, 405),
        ("GET", "/switches/api/admin/nope", 404),
        ("GET", "/switches/api//admin/flags", 404),
        ("GET", "/switches/api/config/flags/", 404),
    ):
        answer = client.open(path, method=method)
        assert (answer.status_code, answer.content_type) == (status, "application/json"), path
        assert answer.json["requestId"] == answer.headers["X-Request-Id"]
    for path in ("/", "/switches", "/switches/api/administrators", "/switches/api/configuration"):
        assert client.get(path).text == "the host's own 404"
    assert host.app.url_map.merge_slashes


def test_a_second_registration_is_refused_and_leaves_the_first(host: Host, client: FlaskClient) -> None:
    with pytest.raises(RuntimeError, match="registered on this app already"):
        FlagSched(host.app, url="sqlite:///other.db", url_prefix="/two")

    assert client.get("/switches/api/config/flags").status_code == 200


def test_a_host_is_held_to_rates_too(host: Host, url: sa.URL) -> None:
    rates = RateLimits("memory://", writes=2, failed_sign_ins=9)
    FlagSched(host.app, url=url.render_as_string(hide_password=False), rates=rates)
    client = host.app.test_client()

    statuses = [
        client.post("/api/admin/flags", json={"key": f"f{n}"}, headers=host.token()).status_code for n in range(3)
    ]

    assert statuses == [201, 201, 429]


def test_in_a_host_without_structlog_lines_are_json_in_its_own_logging(tmp_path: Path) -> None:
    script = """
import logging, sys
from flask import Flask, request
from flagsched import FlagSched
logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s %(message)s")
app = Flask("host")
def claims():
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"
    raise ValueError(f"cannot read {token}")
FlagSched(app, url="sqlite:///x.db", claims=claims)
assert app.test_client().get("/api/admin/flags").status_code == 500
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    lines = [line for line in done.stderr.splitlines() if line.startswith("flagsched.web ")]
    events = [json.loads(line.removeprefix("flagsched.web ")) for line in lines]
    assert [event["event"] for event in events] == ["request failed", "request"]
    assert "cannot read [secret]" in events[0]["exception"]
    assert "eyJ" not in done.stdout + done.stderr


@pytest.mark.parametrize("given", [{}, {"url": "sqlite:///x.db", "engine": sa.create_engine("sqlite://")}])
def test_it_needs_one_database(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either url= or engine="):
        FlagSched(**given)


def test_without_a_jwt_manager_nobody_is_an_admin_and_the_log_says_why(
    sqlite_url: sa.URL, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("bare")
    FlagSched(app, url=sqlite_url.render_as_string(hide_password=False))

    answer = app.test_client().get("/api/admin/flags", headers={"Authorization": "Bearer a.b.c"})

    assert (answer.status_code, answer.json["error"]) == (401, "UNAUTHORIZED")
    assert "no JWTManager" in caplog.text
