"""The app as a whole: who may do what, errors as JSON, and whether it is ready."""

import base64
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import reduce
from pathlib import Path
from time import time
from uuid import UUID

import jwt
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from flagsched.bootstrap.web import create_app
from flagsched.config.settings import read_web_settings
from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.schema import migrations
from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.flags import create_flag
from flagsched.web.tokens.claims import TokenRules
from tests.builders import ADMIN, SECRET, a_new_flag
from tests.processes import until
from tests.rows import count
from tests.services import web_settings

PUBLIC = {
    "/", "/healthz", "/readyz", "/openapi.json", "/docs", "/docs/<name>",
    "/api/config/flags", "/api/config/flags/<flag_key>",
    "/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/<path:key>", "/ofrep/", "/ofrep/<flagsched_any:path>",
}  # fmt: skip


def routes(app: Flask) -> Iterator[tuple[Rule, str]]:
    """All routes for programs: the console's pages are for people."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD"}):
            if not rule.rule.startswith("/console"):
                yield rule, method


def address(rule: Rule) -> str:
    parameters = {
        "<flag_key>": "new-checkout",
        "<uuid:schedule_id>": str(UUID(int=0)),
        "<uuid:plan_id>": str(UUID(int=0)),
        "<uuid:hold_id>": str(UUID(int=0)),
        "<environment>": "production",
        "<plan_name>": "launch",
        "<path:user_id>": "eve",
    }
    return reduce(lambda path, one: path.replace(*one), parameters.items(), rule.rule)


def test_every_route_but_the_public_ones_needs_a_token_with_a_role(
    app: Flask, anyone: FlaskClient, token: Callable[..., str], engine: sa.Engine
) -> None:
    reader = {"Authorization": f"Bearer {token(role='reader')}"}
    guarded = [(rule, method) for rule, method in routes(app) if rule.rule not in PUBLIC]
    assert len(guarded) >= 11

    for rule, method in guarded:
        # A body that is no JSON: read before the token, it would be answered 400.
        without = anyone.open(address(rule), method=method, data="{", content_type="application/json")
        not_allowed = anyone.open(
            address(rule), method=method, data="{", content_type="application/json", headers=reader
        )
        assert (without.status_code, without.json["error"]) == (401, "UNAUTHORIZED"), rule
        assert without.headers["WWW-Authenticate"] == 'Bearer realm="flagsched"'
        assert (not_allowed.status_code, not_allowed.json["error"]) == (403, "FORBIDDEN"), rule
    assert count(engine, "feature_flags") == 0


def test_public_routes_need_no_token(app: Flask, anyone: FlaskClient) -> None:
    for rule, method in routes(app):
        if rule.rule in PUBLIC:
            sent = {"context": {"targetingKey": "ada"}} if method == "POST" else None
            assert anyone.open(address(rule), method=method, json=sent).status_code in {200, 204, 302, 404, 405}


def unsigned(token: str) -> str:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=").decode()
    return f"{header}.{token.split('.')[1]}."


@pytest.mark.parametrize(
    "authorization",
    [
        lambda _: "",
        lambda _: "Bearer",
        lambda token: f"Basic {token()}",
        lambda token: f"Bearer {token()}x",
        lambda token: f"Bearer {token()[:-2]}",
        lambda _: "Bearer a.b.c",
        lambda token: f"Bearer {token(life=timedelta(seconds=-11))}",
        lambda token: f"Bearer {unsigned(token())}",
        lambda token: f"Bearer {token()} {token()}",
    ],
    ids=["empty", "bare", "basic", "longer", "cut", "garbage", "expired", "unsigned", "two"],
)
def test_a_token_that_is_not_valid_is_refused(
    anyone: FlaskClient, token: Callable[..., str], authorization: Callable[[Callable[..., str]], str]
) -> None:
    answer = anyone.get("/api/admin/flags", headers={"Authorization": authorization(token)})

    assert (answer.status_code, answer.json["error"]) == (401, "UNAUTHORIZED")


def signed(key: str = SECRET, algorithm: str = "HS256", **changed: object) -> str:
    """A token with the claims of an admin's access token, but for what is changed; None leaves a claim out."""
    now = int(time())
    claims = {"sub": "ada", "jti": "1", "type": "access", "role": "admin", "iat": now, "nbf": now, "exp": now + 3600}
    return jwt.encode({k: v for k, v in (claims | changed).items() if v is not None}, key, algorithm)


def status_for(client: FlaskClient, token: str) -> int:
    return client.get("/api/admin/flags", headers={"Authorization": f"Bearer {token}"}).status_code


HOUR = 3600
TOKENS: dict[str, tuple[dict[str, object], int]] = {
    "as it must be": ({}, 200),
    "a day long": ({"exp": int(time()) + 24 * HOUR - 60}, 200),
    "no exp": ({"exp": None}, 401),
    "no sub": ({"sub": None}, 401),
    "no jti": ({"jti": None}, 401),
    "no type": ({"type": None}, 401),
    "a number for sub": ({"sub": 7}, 401),
    "a list for sub": ({"sub": ["ada"]}, 401),
    "expired": ({"exp": int(time()) - 11}, 401),
    "not yet valid": ({"nbf": int(time()) + HOUR}, 401),
    "issued tomorrow": ({"iat": int(time()) + 24 * HOUR}, 401),
    "too long a life": ({"exp": int(time()) + 25 * HOUR}, 401),
    "too long a life without iat": ({"exp": int(time()) + 25 * HOUR, "iat": None}, 401),
    "a life that began long ago": ({"iat": int(time()) - 30 * HOUR}, 401),
    "exp as text": ({"exp": "tomorrow"}, 401),
    "iat as text": ({"iat": "today"}, 401),
    "exp as digits": ({"exp": str(int(time()) + 60)}, 401),
    "iat as digits": ({"iat": str(int(time()) - 60)}, 401),
    "nbf as digits": ({"nbf": "1"}, 401),
    "exp true": ({"exp": True}, 401),
    "an empty jti": ({"jti": ""}, 401),
    "an empty type": ({"type": ""}, 401),
    "exp far too large": ({"exp": 10**30}, 401),
    "a refresh token": ({"type": "refresh"}, 401),
    "HS512": ({"algorithm": "HS512"}, 401),
    "HS384": ({"algorithm": "HS384"}, 401),
    "another key": ({"key": "another-key-0123456789-abcdefghijklmnop"}, 401),
    "no role": ({"role": None}, 403),
    "Admin": ({"role": "Admin"}, 403),
    "a list of roles": ({"role": ["reader", "admin"]}, 200),
    "a list of other roles": ({"role": ["reader", "Admin", True, ["admin"]]}, 403),
    "true for a role": ({"role": True}, 403),
    "an object for a role": ({"role": {"admin": True}}, 403),
    "a space behind the role": ({"role": "admin "}, 403),
}


@pytest.mark.parametrize("name", TOKENS)
def test_a_token_must_be_an_admins_access_token(anyone: FlaskClient, name: str) -> None:
    changed, status = TOKENS[name]

    assert status_for(anyone, signed(**changed)) == status


@pytest.fixture(scope="module")
def rsa_keys() -> tuple[str, str]:
    """A private and a public key in PEM."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return (
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    )


def hs256_by_hand(key: str, claims: dict[str, object]) -> str:
    """An HS256 token signed with any key: PyJWT itself refuses to sign with a public one."""

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    signing = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + "." + part(json.dumps(claims).encode())
    return signing + "." + part(hmac.digest(key.encode(), signing.encode(), "sha256"))


def test_with_a_public_key_only_the_private_key_signs(url: sa.URL, store: SqlStore, rsa_keys: tuple[str, str]) -> None:
    private, public = rsa_keys
    rules = TokenRules("RS256", public_keys=(public,), issuer="https://id.example", audiences=frozenset({"flagsched"}))
    client = create_app(replace(web_settings(url), tokens=rules), store=store).test_client()
    ours = {"iss": "https://id.example", "aud": "flagsched"}
    claims = jwt.decode(signed(**ours), options={"verify_signature": False})

    assert status_for(client, signed(private, "RS256", **ours)) == 200
    assert status_for(client, signed(private, "RS256", role="reader", **ours)) == 403
    assert status_for(client, signed(private, "PS256", **ours)) == 401
    assert status_for(client, signed(**ours)) == 401
    assert status_for(client, hs256_by_hand(public, claims)) == 401
    assert status_for(client, hs256_by_hand(public.strip(), claims)) == 401


def test_settings_for_a_public_key_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rsa_keys: tuple[str, str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
    monkeypatch.setenv("JWT_ALGORITHM", "RS256")
    monkeypatch.setenv("JWT_PUBLIC_KEY", rsa_keys[1].replace("\n", "\\n"))
    monkeypatch.setenv("JWT_ISSUER", "https://id.example")
    monkeypatch.setenv("JWT_AUDIENCE", "flagsched")

    assert read_web_settings().tokens.public_keys == (rsa_keys[1],)


@pytest.mark.parametrize("subject", ["", "a\x00b", "a\nb", "\ud800", "x" * 201])
def test_a_subject_that_cannot_stand_in_the_history_is_refused(
    anyone: FlaskClient, token: Callable[..., str], subject: str
) -> None:
    answer = anyone.get("/api/admin/flags", headers={"Authorization": f"Bearer {token(subject=subject)}"})

    assert (answer.status_code, answer.json["error"]) == (401, "UNAUTHORIZED")


def test_a_token_signed_with_another_key_is_refused(url: sa.URL, store: SqlStore, token: Callable[..., str]) -> None:
    settings = replace(web_settings(url), tokens=TokenRules(secrets=("another-key-0123456789-abcdefghijklmnop",)))
    other = create_app(settings, store=store)

    answer = other.test_client().get("/api/admin/flags", headers={"Authorization": f"Bearer {token()}"})

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api/admin/nothing", 404, "NOT_FOUND"),
        ("PUT", "/api/admin/flags", 405, "METHOD_NOT_ALLOWED"),
        ("OPTIONS", "/api/admin/flags", 405, "METHOD_NOT_ALLOWED"),
        ("OPTIONS", "/api/config/flags", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/api//config/flags", 404, "NOT_FOUND"),
        ("POST", "/api/admin//flags", 404, "NOT_FOUND"),
        ("GET", "/api/config/flags/", 404, "NOT_FOUND"),
    ],
)
def test_what_is_not_there_is_told_as_json(anyone: FlaskClient, method: str, path: str, status: int, code: str) -> None:
    answer = anyone.open(path, method=method)

    assert answer.status_code == status
    assert answer.content_type == "application/json"
    assert answer.json.keys() == {"error", "message", "details", "requestId"}
    assert answer.json["error"] == code
    assert ("Allow" in answer.headers) == (status == 405)


def test_a_fault_of_ours_tells_nothing_but_where_to_look(faulty: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    answer = faulty.get("/broken")

    assert answer.status_code == 500
    assert answer.json["message"] == "flagsched failed; see its log"
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("header", ["", "a b", "x" * 65, "é", "<script>"])
def test_a_strange_request_id_is_replaced(anyone: FlaskClient, header: str) -> None:
    answer = anyone.get("/healthz", headers={"X-Request-Id": header})

    assert len(answer.headers["X-Request-Id"]) == 32


def test_a_process_is_ready_when_its_database_answers_and_fits(url: sa.URL) -> None:
    settings = web_settings(url)
    warm = create_app(settings).test_client()
    assert warm.get("/readyz").json == {"status": "ready", "degraded": False, "snapshotAgeSeconds": 0}

    engine = open_engine(url, Limits())
    migrations.downgrade(engine, "base")
    engine.dispose()

    fresh = create_app(settings).test_client()
    for client, path in ((warm, "/readyz"), (fresh, "/readyz"), (fresh, "/api/config/flags")):
        answer = client.get(path)
        assert (answer.status_code, answer.json["error"]) == (503, "SCHEMA_OUTDATED")
        assert "flagsched db upgrade" in answer.json["message"]
        assert int(answer.headers["Retry-After"]) > 0
    assert fresh.get("/healthz").status_code == 200


def test_a_process_that_was_ready_without_the_schema_of_its_release_is_ready_no_more(
    url: sa.URL, engine: sa.Engine
) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=SqlStore(engine))
    client = create_app(web_settings(url)).test_client()
    assert client.get("/readyz").status_code == 200
    migrations.downgrade(engine, "base")

    until(lambda: "Flagsched-Snapshot-Age" in client.get("/api/config/flags").headers, what="it is noticed")

    assert client.get("/readyz").json["error"] == "SCHEMA_OUTDATED"


def test_a_process_without_its_database_says_so() -> None:
    client = create_app(web_settings(sa.make_url("postgresql+psycopg2://nobody@127.0.0.1:1/none"))).test_client()

    answer = client.get("/readyz")

    assert (answer.status_code, answer.json["error"]) == (503, "DATABASE_UNAVAILABLE")
    assert "127.0.0.1" not in answer.text
