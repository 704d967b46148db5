"""Settings that are wrong are refused with the variable's name, and without their secrets."""

from pathlib import Path

import pytest
from environs import EnvError

from flagsched.bootstrap.web import create_app
from flagsched.config import read_web_settings
from flagsched.web.rules import Access, EvaluationRules
from tests.builders import SECRET
from tests.tokens import ISSUER, pem, rsa_key

KEY = "a-key-of-an-application"
PUBLIC = pem(rsa_key("first"))


def with_secret(**variables: str) -> dict[str, str]:
    return {"JWT_SECRET_KEY": SECRET} | variables


def with_rsa(**variables: str) -> dict[str, str]:
    given = {"JWT_ALGORITHM": "RS256", "JWT_PUBLIC_KEY": PUBLIC, "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": "flagsched"}
    return {name: value for name, value in (given | variables).items() if value}


def with_jwks(source: str) -> dict[str, str]:
    return with_rsa(JWT_PUBLIC_KEY="", JWT_JWKS=source)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, '"JWT_SECRET_KEY" not set'),
        (with_secret(JWT_OLD_SECRET_KEY="short"), '"JWT_OLD_SECRET_KEY" invalid'),
        (with_secret(JWT_LEEWAY_SECONDS="301"), '"JWT_LEEWAY_SECONDS" invalid'),
        (with_secret(JWT_AUDIENCE_CLAIM="client_id"), '"JWT_AUDIENCE" not set'),
        (with_secret(JWT_AUDIENCE="a", JWT_AUDIENCE_CLAIM="azp"), '"JWT_AUDIENCE_CLAIM" invalid'),
        (with_secret(JWT_AUDIENCE="a, b"), "no spaces between"),
        (with_secret(JWT_AUDIENCE=""), '"JWT_AUDIENCE" invalid'),
        (with_secret(JWT_ISSUER=""), '"JWT_ISSUER" invalid'),
        (with_secret(JWT_ROLES_CLAIM=""), '"JWT_ROLES_CLAIM" invalid'),
        (with_secret(JWT_ROLES_CLAIM="realm_access.roles"), "must be /realm_access/roles if it is nested"),
        (with_secret(JWT_JWKS="https://id.example/jwks"), '"JWT_JWKS" needs JWT_ALGORITHM=RS256'),
        (with_rsa(JWT_ISSUER=""), '"JWT_ISSUER" not set'),
        (with_rsa(JWT_AUDIENCE=""), '"JWT_AUDIENCE" not set'),
        (with_rsa(JWT_PUBLIC_KEY=PUBLIC + "x"), "is not a public key in PEM"),
        (with_rsa(JWT_PUBLIC_KEY=PUBLIC + pem(rsa_key("weak", 1024))), "at least 2048 bits"),
        (with_rsa(JWT_JWKS="https://id.example/jwks"), "set one of them"),
        (with_jwks("http://id.example/jwks"), "begins with https://"),
        (with_jwks("file:///etc/passwd"), "must be a URL with a host"),
        (with_jwks("ftp://id.example/jwks"), "begins with https://"),
        (with_jwks("https://app:s3cret@id.example/jwks"), "without a user"),
        (with_jwks("https://id.example:99999/jwks"), "Port out of range"),
        (with_jwks("nowhere.json"), "can't be read as a file: No such file"),
        (with_jwks("."), "can't be read as a file: Is a directory"),
        (with_jwks(__file__), '"JWT_JWKS" invalid'),
        ({"JWT_SECRET_KEY": "short"}, "at least 32 bytes"),
        ({"JWT_SECRET_KEY": "change-me-0123456789-abcdefghijklmnop"}, "looks like an example"),
        ({"JWT_SECRET_KEY": "x" * 64}, "looks like an example"),
        ({"DATABASE_URL": "mysql://h/d"}, '"DATABASE_URL" invalid'),
        ({"DATABASE_URL": "sqlite://"}, "names no file"),
        ({"DATABASE_URL": "nonsense"}, "is not a database URL"),
        ({"DATABASE_URL": "postgresql://app:p@ss:w0rd@db:5432/x"}, "is not a database URL"),
        ({"DATABASE_URL": "postgresql://app:top@s3cret@db/x"}, "must be written as %40"),
        ({"JWT_SECRET_KEY": "\udce9" * 40}, "must be printable"),
        ({"JWT_ALGORITHM": "none"}, '"JWT_ALGORITHM" invalid'),
        ({"JWT_ALGORITHM": "RS256"}, '"JWT_PUBLIC_KEY" not set'),
        ({"JWT_ALGORITHM": "RS256", "JWT_PUBLIC_KEY": "x"}, "is not a public key in PEM"),
        ({"DATABASE_URL": "postgresql://db/x", "FLASK_DEBUG": "1", "JWT_SECRET_KEY": SECRET}, '"FLASK_DEBUG" is on'),
        ({"JWT_SECRET_KEY": SECRET, "FLAGSCHED_HORIZON_DAYS": "0"}, '"FLAGSCHED_HORIZON_DAYS" invalid'),
        ({"FLAGSCHED_LOG_LEVEL": "LOUD"}, '"FLAGSCHED_LOG_LEVEL" invalid'),
        ({"FLAGSCHED_POOL_SIZE": "many"}, '"FLAGSCHED_POOL_SIZE" invalid'),
        (with_secret(FLAGSCHED_EVALUATION_ACCESS="private"), '"FLAGSCHED_EVALUATION_ACCESS" invalid'),
        (with_secret(FLAGSCHED_EVALUATION_ACCESS="key"), '"FLAGSCHED_EVALUATION_KEYS" not set'),
        (with_secret(FLAGSCHED_EVALUATION_KEYS="fifteen-letters"), '"FLAGSCHED_EVALUATION_KEYS" invalid'),
        (with_secret(FLAGSCHED_EVALUATION_KEYS=f"{KEY}, {KEY}"), "no spaces between"),
        (with_secret(FLAGSCHED_EVALUATION_KEYS=" " * 16), "visible ASCII"),
        (with_secret(FLAGSCHED_EVALUATION_KEYS="schlüssel-0123456789"), "visible ASCII"),
        (with_secret(FLAGSCHED_CORS_ORIGINS="https://APP.example"), "not 'https://APP.example'"),
        (with_secret(FLAGSCHED_CORS_ORIGINS="https://app.example:443"), "as browsers send them"),
        (with_secret(FLAGSCHED_CORS_ORIGINS="https://app.example/"), "as browsers send them"),
        (with_secret(FLAGSCHED_CORS_ORIGINS="https://app.example:99999"), "as browsers send them"),
        (with_secret(FLAGSCHED_CORS_ORIGINS="app.example"), "as browsers send them"),
    ],
)
def test_settings_that_are_wrong_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, variables: dict[str, str], message: str
) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.delenv("JWT_SECRET_KEY", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(EnvError, match=message) as caught:
        create_app()
    assert "w0rd" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        ("private",),
        ("key",),
        ("key", frozenset({""})),
        ("key", KEY),
        ("public", frozenset(), frozenset({"app.example"})),
        ("public", frozenset(), frozenset(), 2),
    ],
)
def test_rules_that_would_open_to_more_than_they_say_cannot_be_made(given: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match=r"not a valid Access|there is none|visible ASCII|as browsers|0 or 1 seconds"):
        EvaluationRules(*given)


def test_settings_for_tokens_are_read_as_they_are_meant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in with_secret(JWT_OLD_SECRET_KEY=f"old-{SECRET}", JWT_AUDIENCE="a,b", JWT_ISSUER=ISSUER).items():
        monkeypatch.setenv(name, value)

    settings = read_web_settings()

    assert settings.tokens.secrets == (SECRET, f"old-{SECRET}")
    assert (settings.tokens.issuer, settings.tokens.audiences) == (ISSUER, frozenset({"a", "b"}))
    assert (settings.tokens.leeway_seconds, settings.tokens.roles_claim) == (10, "role")
    assert SECRET not in repr(settings)


@pytest.mark.parametrize("url", ["https://id.example/jwks", "http://127.0.0.1:9/jwks", "http://localhost/jwks"])
def test_a_process_starts_though_the_keys_at_a_url_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in with_jwks(url).items():
        monkeypatch.setenv(name, value)

    assert create_app(read_web_settings()).test_client().get("/healthz").status_code == 200


def test_rules_may_name_the_access_by_its_word() -> None:
    assert EvaluationRules("key", frozenset({KEY})).access is Access.KEY
