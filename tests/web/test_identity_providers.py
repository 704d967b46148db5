"""Tokens of the shape that Auth0, Keycloak and Amazon Cognito give, by the very settings that docs/tokens.md shows."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from time import time
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from flask import Flask

from flagsched.bootstrap.web import create_app
from flagsched.config.settings import read_web_settings
from tests.docs import text
from tests.processes import environment
from tests.provider import Provider, provider
from tests.tokens import jwk, jwks, outcome, rsa_key, show, signed

Claims = dict[str, Any]
MakeApp = Callable[..., Flask]
KEEP_FOR = {"type": None, "nbf": None, "role": None, "jti": None}


def recipe(title: str) -> dict[str, str]:
    """The settings under this heading of docs/tokens.md."""
    section = text("docs/tokens.md").partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^    ([A-Z_]+)=(\S+)$", section, flags=re.MULTILINE))


class Shape(NamedTuple):
    """What a provider signs: the access token of an admin, and what makes others of it."""

    title: str
    header: Claims
    access: Claims
    reader: Claims
    id_token: Claims
    elsewhere: Claims


AUTH0 = Shape(
    "Auth0",
    {"typ": "JWT", "kid": "first"},
    {
        "https://flagsched.example/roles": ["reader", "admin"],
        "iss": "https://example.eu.auth0.com/",
        "sub": "auth0|6553da60a54af58e29493993",
        "aud": ["https://flagsched.example", "https://example.eu.auth0.com/userinfo"],
        "exp": 86400,
        "scope": "openid profile email",
        "azp": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja",
        "permissions": ["read:flags"],
    },
    reader={"https://flagsched.example/roles": []},
    id_token={"aud": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja", "azp": None, "scope": None, "nonce": "n", "nickname": "ada"},
    elsewhere={"aud": ["https://billing.example", "https://example.eu.auth0.com/userinfo"]},
)
AUTH0_RFC_9068 = AUTH0._replace(
    header={"typ": "at+jwt", "kid": "first"},
    access=AUTH0.access
    | {"azp": None, "client_id": "K1AUPhZq8mRi0Q0pjhkfu1D7y6KjDQja", "jti": "73WakrfVbNJBaAmhQtEeDv"},
)
KEYCLOAK = Shape(
    "Keycloak",
    {"typ": "JWT", "kid": "first"},
    {
        "exp": 300,
        "auth_time": 0,
        "jti": "onrtac:d58f5dc8-fd8f-462b-8a19-716f8f83985b",
        "iss": "https://id.example/realms/example",
        "aud": ["flagsched", "account"],
        "sub": "36fa0f91-f94d-4a0c-afed-6b7d952e47da",
        "typ": "Bearer",
        "azp": "console",
        "sid": "2a88c258-f73a-4103-b862-e1fbd8f4e04e",
        "acr": "1",
        "allowed-origins": ["https://console.example"],
        "realm_access": {"roles": ["offline_access", "default-roles-example", "uma_authorization"]},
        "resource_access": {"flagsched": {"roles": ["admin"]}, "account": {"roles": ["manage-account"]}},
        "scope": "openid email profile",
        "preferred_username": "ada",
    },
    reader={"resource_access": {"account": {"roles": ["admin"]}}, "realm_access": {"roles": ["admin"]}},
    id_token={"typ": "ID", "aud": "console", "at_hash": "x", "realm_access": None, "scope": None},
    elsewhere={"aud": "account"},
)
COGNITO = Shape(
    "Amazon Cognito",
    {"typ": None, "kid": "first"},
    {
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "cognito:groups": ["readers", "admin"],
        "iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_EXAMPLE",
        "version": 2,
        "client_id": "1example23456789",
        "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "event_id": "64f513be-32db-42b0-b78e-b02127b4f463",
        "token_use": "access",
        "scope": "aws.cognito.signin.user.admin openid",
        "auth_time": 0,
        "exp": 3600,
        "jti": "aaaaaaaa-bbbb-cccc-dddd-ffffffffffff",
        "username": "ada",
    },
    reader={"cognito:groups": None},
    id_token={
        "token_use": "id",
        "aud": "1example23456789",
        "client_id": None,
        "cognito:username": "ada",
        "scope": None,
    },
    elsewhere={"client_id": "2another23456789"},
)
SHAPES = {"Auth0": AUTH0, "Auth0, RFC 9068": AUTH0_RFC_9068, "Keycloak": KEYCLOAK, "Amazon Cognito": COGNITO}


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> Shape:
    return SHAPES[request.param]


@pytest.fixture
def issuer() -> Iterator[Provider]:
    """What serves the keys: that which signs access tokens, another of the same use, and one for encryption."""
    with provider(jwks(jwk("enc", use="enc", alg="RSA-OAEP"), jwk("second"), jwk("first"))) as served:
        yield served


@pytest.fixture
def app_of(sqlite_url: sa.URL, monkeypatch: pytest.MonkeyPatch) -> MakeApp:
    """An app by the settings of a recipe and nothing else, but for where the keys are and what is changed."""

    def make(title: str, source: str, **changed: str) -> Flask:
        monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
        database = {"DATABASE_URL": environment(sqlite_url)["DATABASE_URL"]}
        for name, value in (database | recipe(title) | {"JWT_JWKS": source} | changed).items():
            monkeypatch.setenv(name, value)
        return create_app(read_web_settings())

    return make


def token(shape: Shape, **changed: Any) -> str:
    """What the provider signs, with times from now on."""
    claims = KEEP_FOR | shape.access | changed
    now = int(time())
    times = {"iat": now, "exp": now + claims["exp"]} | ({"auth_time": now} if "auth_time" in claims else {})
    return signed(rsa_key("first"), "RS256", header=shape.header, **(claims | times))


def test_an_admins_access_token_is_let_in(app_of: MakeApp, issuer: Provider, shape: Shape) -> None:
    app = app_of(shape.title, issuer.url)

    answer = app.test_client().post(
        "/api/admin/flags", json={"key": "dark-mode"}, headers={"Authorization": f"Bearer {token(shape)}"}
    )

    assert answer.status_code == 201, answer.text
    history = show(app, token(shape), "/api/admin/history").get_json()
    assert history["entries"][0]["actor"] == shape.access["sub"]


def test_others_of_the_same_provider_are_not(app_of: MakeApp, issuer: Provider, shape: Shape) -> None:
    app = app_of(shape.title, issuer.url)

    assert outcome(show(app, token(shape, **shape.reader))) == 403
    assert outcome(show(app, token(shape, **shape.id_token))) in {"wrong audience", "not an access token"}
    assert outcome(show(app, token(shape, **shape.elsewhere))) == "wrong audience"
    assert outcome(show(app, token(shape, iss=f"{shape.access['iss']}x"))) == "wrong issuer"


def test_the_keys_may_be_in_a_file(app_of: MakeApp, issuer: Provider, shape: Shape, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(issuer.body)

    assert outcome(show(app_of(shape.title, str(file)), token(shape))) == 200
    assert issuer.asked == []


def test_each_recipe_names_the_keys_of_its_issuer(shape: Shape) -> None:
    settings = recipe(shape.title)

    assert settings["JWT_ISSUER"] == shape.access["iss"]
    assert settings["JWT_JWKS"].startswith(settings["JWT_ISSUER"])
    assert settings.keys() >= {"JWT_ALGORITHM", "JWT_AUDIENCE", "JWT_ROLES_CLAIM"}


@pytest.mark.parametrize(
    ("title", "where", "claims"),
    [
        ("Auth0", "permissions", {"https://flagsched.example/roles": None, "permissions": ["admin"]}),
        ("Keycloak", "/realm_access/roles", {"resource_access": None, "realm_access": {"roles": ["admin"]}}),
    ],
)
def test_roles_may_be_where_the_page_says_that_they_may_be_instead(
    app_of: MakeApp, issuer: Provider, title: str, where: str, claims: Claims
) -> None:
    assert f"`JWT_ROLES_CLAIM={where}`" in text("docs/tokens.md")
    app = app_of(title, issuer.url, JWT_ROLES_CLAIM=where)

    assert outcome(show(app, token(SHAPES[title], **claims))) == 200
