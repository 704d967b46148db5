"""Which tokens are accepted, and the reasons for refusing the others."""

import json
from collections.abc import Callable
from pathlib import Path
from time import time
from typing import Any

import jwt
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from flask import Flask

from flagsched.bootstrap.cli import flagsched
from flagsched.bootstrap.web import create_app
from flagsched.config.settings import read_web_settings
from flagsched.web.tokens.claims import TokenRules
from tests.builders import SECRET
from tests.tokens import (
    AUDIENCE,
    FLAGS,
    ISSUER,
    by_hand,
    jwk,
    jwks,
    outcome,
    pem,
    provided,
    rsa_key,
    show,
    signed,
)

OLD_SECRET = "the-key-before-0123456789-abcdefghijklmnopqrstuvwxyz"
MakeApp = Callable[[TokenRules], Flask]


def rules(**changed: Any) -> TokenRules:
    """Rules for the tokens that `provided` makes."""
    given = {"algorithm": "RS256", "public_keys": (pem(rsa_key("first")),), "issuer": ISSUER}
    return TokenRules(**(given | {"audiences": frozenset({AUDIENCE})} | changed))


@pytest.fixture
def strict(app_by: MakeApp) -> Flask:
    """An app with the default rules: HS256, no issuer and no audience."""
    return app_by(TokenRules(secrets=(SECRET,)))


@pytest.fixture
def provider(app_by: MakeApp) -> Flask:
    """An app for the tokens that `provided` makes."""
    return app_by(rules())


def test_a_token_issued_a_second_ahead_is_accepted(strict: Flask) -> None:
    now = int(time())

    assert outcome(show(strict, signed(iat=now + 1, nbf=now + 1))) == 200
    assert outcome(show(strict, signed(iat=now + 60))) == "not yet valid"
    assert outcome(show(strict, signed(nbf=now + 60))) == "not yet valid"


def test_a_token_that_expired_a_second_ago_is_accepted_and_one_of_eleven_seconds_is_not(
    strict: Flask, app_by: MakeApp
) -> None:
    now = int(time())

    assert outcome(show(strict, signed(exp=now - 1))) == 200
    assert outcome(show(strict, signed(exp=now - 11))) == "expired"
    assert outcome(show(app_by(TokenRules(secrets=(SECRET,), leeway_seconds=0)), signed(exp=now - 1))) == "expired"


def test_a_token_of_24_hours_that_was_issued_a_second_ahead_is_accepted(provider: Flask) -> None:
    now, day = int(time()) + 1, 24 * 3600

    assert outcome(show(provider, provided(iat=now, exp=now + day))) == 200
    assert outcome(show(provider, provided(iat=now, exp=now + day + 60))) == "valid for more than 24 hours"
    assert outcome(show(provider, provided(iat=None, exp=now + day + 60))) == "valid for more than 24 hours"


OTHERS: dict[str, tuple[dict[str, Any], str | int]] = {
    "as it must be": ({}, 200),
    "our audience among others": ({"aud": ["https://id.example/userinfo", AUDIENCE]}, 200),
    "another audience": ({"aud": "billing-api"}, "wrong audience"),
    "other audiences": ({"aud": ["billing-api", f"{AUDIENCE}/"]}, "wrong audience"),
    "no audience": ({"aud": None}, "no aud"),
    "an empty list of audiences": ({"aud": []}, "no aud"),
    "an object for an audience": ({"aud": {AUDIENCE: True}}, "wrong audience"),
    "another issuer": ({"iss": "https://id.example"}, "wrong issuer"),
    "no issuer": ({"iss": None}, "no iss"),
    "no sub": ({"sub": None}, "no sub"),
    "a number for sub": ({"sub": 7}, "sub is not a string"),
    "a sub of 201 characters": ({"sub": "x" * 201}, "sub is not 1 to 200 printable characters"),
    "no exp": ({"exp": None}, "no exp"),
    "exp as text": ({"exp": "tomorrow"}, "exp, iat or nbf is not a number"),
    "exp as digits": ({"exp": "9999999999"}, "exp, iat or nbf is not a number"),
    "a refresh token": ({"type": "refresh"}, "not an access token"),
    "an id token of Cognito": ({"token_use": "id"}, "not an access token"),
    "an id token of Keycloak": ({"typ": "ID"}, "not an access token"),
    "a refresh token of Keycloak": ({"typ": "Refresh"}, "not an access token"),
    "a token that needs a proof as well": ({"typ": "DPoP"}, "not an access token"),
    "an id token that was issued beside a token": ({"at_hash": "x"}, "not an access token"),
    "a list for what it is": ({"typ": ["Bearer"]}, "not an access token"),
    "an access token of RFC 9068": ({"header": {"typ": "at+jwt"}}, 200),
    "a logout token": ({"header": {"typ": "logout+jwt"}}, "not an access token"),
    "an unknown extension": ({"header": {"crit": ["x"], "x": 1}}, "not a JWT"),
    "another role": ({"role": "reader"}, 403),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_token_of_an_issuer_must_be_an_access_token_for_us(provider: Flask, name: str) -> None:
    changed, expected = OTHERS[name]

    assert outcome(show(provider, provided(**changed))) == expected


def test_any_of_several_audiences_may_be_meant(app_by: MakeApp) -> None:
    app = app_by(rules(audiences=frozenset({AUDIENCE, "flagsched-staging"})))

    assert outcome(show(app, provided(aud="flagsched-staging"))) == 200
    assert outcome(show(app, provided(aud=[AUDIENCE]))) == 200
    assert outcome(show(app, provided(aud=["billing-api"]))) == "wrong audience"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"aud": None, "client_id": "console"}, 200),
        ({"aud": ["console"], "client_id": "console"}, 200),
        ({"aud": None, "client_id": "billing"}, "wrong audience"),
        ({"aud": "billing-api", "client_id": "console"}, "wrong audience"),
        ({"aud": "console"}, "wrong audience"),
        ({"aud": None}, "wrong audience"),
    ],
)
def test_a_token_may_name_the_client_that_it_was_issued_to_instead(
    app_by: MakeApp, claims: dict[str, Any], expected: str | int
) -> None:
    app = app_by(rules(audiences=frozenset({"console"}), audience_claim="client_id"))

    assert outcome(show(app, provided(**claims))) == expected


def test_issuer_and_audience_count_with_a_secret_too(app_by: MakeApp) -> None:
    app = app_by(TokenRules(secrets=(SECRET,), issuer=ISSUER, audiences=frozenset({AUDIENCE})))

    assert outcome(show(app, signed(iss=ISSUER, aud=AUDIENCE, jti=None, type=None))) == 200
    assert outcome(show(app, signed(iss=ISSUER, aud="billing-api"))) == "wrong audience"
    assert outcome(show(app, signed())) == "no iss"


def test_without_issuer_and_audience_a_token_must_have_jti_and_type(strict: Flask) -> None:
    assert outcome(show(strict, signed(jti=None))) == "no jti"
    assert outcome(show(strict, signed(type=None))) == "no type"
    assert outcome(show(strict, signed(type=None, typ="Bearer"))) == "no type"


ROLES: dict[str, tuple[str, dict[str, Any], int]] = {
    "a string": ("role", {"role": "admin"}, 200),
    "a list": ("roles", {"roles": ["reader", "admin"]}, 200),
    "a list without it": ("roles", {"roles": ["reader", "Admin", "admin ", 1, None, ["admin"]]}, 403),
    "another claim": ("roles", {"role": "admin"}, 403),
    "a namespace": ("https://flagsched.example/roles", {"https://flagsched.example/roles": ["admin"]}, 200),
    "a group": ("cognito:groups", {"cognito:groups": ["admin"]}, 200),
    "nested": ("/realm_access/roles", {"realm_access": {"roles": ["offline_access", "admin"]}}, 200),
    "nested in what is no object": ("/realm_access/roles", {"realm_access": ["roles", "admin"]}, 403),
    "nested deeper": ("/resource_access/flagsched/roles", {"resource_access": {"flagsched": {"roles": "admin"}}}, 200),
    "dots in a name": ("/app.example.roles", {"app.example.roles": ["admin"]}, 200),
    "a slash in a nested name": ("/x/a~1b", {"x": {"a/b": "admin"}}, 200),
    "an object": ("roles", {"roles": {"admin": True}}, 403),
    "words in one string": ("scope", {"scope": "read admin"}, 403),
}


@pytest.mark.parametrize("name", ROLES)
def test_roles_are_found_wherever_the_issuer_puts_them(app_by: MakeApp, name: str) -> None:
    where, claims, status = ROLES[name]
    app = app_by(rules(roles_claim=where))

    answer = show(app, provided(**({"role": None} | claims)))

    assert answer.status_code == status
    assert status == 200 or f"in its claim '{where}'" in answer.json["message"]


def test_while_a_secret_is_replaced_tokens_of_both_are_accepted(app_by: MakeApp) -> None:
    app = app_by(TokenRules(secrets=(SECRET, OLD_SECRET)))

    assert outcome(show(app, signed())) == 200
    assert outcome(show(app, signed(OLD_SECRET))) == 200
    assert outcome(show(app, signed(OLD_SECRET, exp=int(time()) - 60))) == "expired"
    assert outcome(show(app, signed("another-key-0123456789-abcdefghijklmnop"))) == "bad signature"


def test_while_a_public_key_is_replaced_tokens_of_both_are_accepted(app_by: MakeApp) -> None:
    app = app_by(rules(public_keys=(pem(rsa_key("second")), pem(rsa_key("first")))))

    assert [outcome(show(app, provided(name, kid=None))) for name in ("first", "second")] == [200, 200]
    assert outcome(show(app, provided("third", kid=None))) == "bad signature"


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def forged() -> dict[str, tuple[str, set[str]]]:
    """Tokens signed without our key, each with the reasons that are allowed for it."""
    claims, public = claims_of(provided()), pem(rsa_key("first"))
    wrong, unknown = {"wrong algorithm"}, {"unknown key id", "no key id", "bad signature"}
    first = json.dumps(jwk("first")).encode()
    kids = ["/dev/null", "../../dev/null", "' OR '1'='1", "first' --", "https://evil.example/jwks", "x" * 5000, "\x00"]
    return {
        "none": (by_hand({"alg": "none"}, claims, b"")[:-43], wrong | {"not a JWT"}),
        "none with a signature": (by_hand({"alg": "none", "kid": "first"}, claims, b""), wrong),
        "nOnE": (by_hand({"alg": "nOnE", "kid": "first"}, claims, b""), wrong),
        "no algorithm": (by_hand({"kid": "first"}, claims, b""), wrong),
        "a list of algorithms": (by_hand({"alg": ["RS256"], "kid": "first"}, claims, b""), wrong),
        "HS256 by the public key": (by_hand({"alg": "HS256", "kid": "first"}, claims, public.encode()), wrong),
        "HS256 by it, stripped": (by_hand({"alg": "HS256"}, claims, public.strip().encode()), wrong),
        "HS256 by the JWK": (by_hand({"alg": "HS256", "kid": "first"}, claims, first), wrong),
        "RS256 by HMAC": (by_hand({"alg": "RS256", "kid": "first"}, claims, public.encode()), {"bad signature"}),
        "its own key": (provided("third", kid="first", header={"jwk": jwk("third")}), {"bad signature"}),
        "its own URL": (provided("third", kid="first", header={"jku": "https://evil.example"}), {"bad signature"}),
        "PS256": (signed(rsa_key("first"), "PS256", header={"kid": "first"}), wrong),
        "a number for a kid": (by_hand({"alg": "RS256", "kid": 5}, claims, b""), {"not a JWT"}),
        **{f"kid {kid[:20]!r}": (by_hand({"alg": "RS256", "kid": kid}, claims, b""), unknown) for kid in kids},
    }


@pytest.mark.parametrize("kind", ["public key", "JWKS"])
@pytest.mark.parametrize("name", forged())
def test_without_the_private_key_nobody_is_let_in(app_by: MakeApp, tmp_path: Path, kind: str, name: str) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(jwk("first"), jwk("second")))
    app = app_by(rules() if kind == "public key" else rules(public_keys=(), jwks=str(file)))
    token, problems = forged()[name]

    assert outcome(show(app, provided())) == 200
    assert outcome(show(app, token)) in problems


@pytest.mark.parametrize("name", ["/dev/null", "' OR 1=1 --"])
def test_with_a_secret_a_key_id_chooses_no_key(strict: Flask, name: str) -> None:
    claims = claims_of(signed())

    for key in (b"", b"\x00", name.encode()):
        assert outcome(show(strict, by_hand({"alg": "HS256", "kid": name}, claims, key))) == "bad signature"


OWN: dict[str, dict[str, str]] = {
    "the defaults": {},
    "an old secret": {"JWT_OLD_SECRET_KEY": OLD_SECRET},
    "issuer, audiences and a nested role": {
        "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": f"{AUDIENCE},b", "JWT_ROLES_CLAIM": "/realm_access/roles",
    },
    "an audience that is a client": {"JWT_ISSUER": ISSUER, "JWT_AUDIENCE": "c,d", "JWT_AUDIENCE_CLAIM": "client_id"},
}  # fmt: skip


def made_token(*options: str) -> str:
    """What `flagsched token` prints."""
    made = CliRunner().invoke(flagsched, ["token", *options])
    assert made.exit_code == 0, made.output
    return made.output.strip()


@pytest.mark.parametrize("name", OWN)
def test_a_token_of_the_command_opens_by_the_settings_that_it_was_made_with(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: sa.URL, name: str
) -> None:
    for variable, value in ({"JWT_SECRET_KEY": SECRET, "DATABASE_URL": str(sqlite_url)} | OWN[name]).items():
        monkeypatch.setenv(variable, value)
    app = create_app(read_web_settings())

    token = made_token("--subject", "ada", "--hours", "24")

    assert outcome(show(app, token)) == 200
    for role, expected in {"viewer": 200, "operator": 200, "admin": 200, "reader": 403}.items():
        assert outcome(show(app, made_token("--subject", "ada", "--role", role))) == expected
    jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_aud": False})


@pytest.mark.parametrize(
    "given",
    [
        {"public_keys": ()},
        {"jwks": "https://id.example/jwks"},
        {"issuer": None},
        {"issuer": ""},
        {"audiences": frozenset()},
        {"algorithm": "none"},
        {"algorithm": "HS256"},
        {"algorithm": "HS256", "public_keys": ()},
        {"audience_claim": "azp"},
        {"roles_claim": "realm_access.roles"},
        {"roles_claim": "/"},
        {"roles_claim": ""},
        {"roles_claim": "/realm_access//roles"},
    ],
)
def test_rules_that_would_accept_the_tokens_of_others_cannot_be_made(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"needs|one of|must be"):
        rules(**given)


def test_no_secret_stands_in_what_rules_look_like() -> None:
    assert SECRET not in repr(TokenRules(secrets=(SECRET, OLD_SECRET)))
    assert OLD_SECRET not in repr(TokenRules(secrets=(SECRET, OLD_SECRET)))


def test_flags_are_really_listed(provider: Flask) -> None:
    assert show(provider, provided(), FLAGS).json == {"flags": [], "nextCursor": None}
