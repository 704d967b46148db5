"""Settings that are wrong are refused with the variable's name, and without their secrets."""

import pytest
from environs import EnvError

from flagsched.bootstrap.web import create_app
from flagsched.web.rules import Access, EvaluationRules
from tests.builders import SECRET

KEY = "a-key-of-an-application"


def with_secret(**variables: str) -> dict[str, str]:
    return {"JWT_SECRET_KEY": SECRET} | variables


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, '"JWT_SECRET_KEY" not set'),
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


def test_rules_may_name_the_access_by_its_word() -> None:
    assert EvaluationRules("key", frozenset({KEY})).access is Access.KEY
