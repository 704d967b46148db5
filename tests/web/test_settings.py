"""Settings that are wrong are refused with the variable's name, and without their secrets."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from environs import EnvError

from flagsched.bootstrap.settings_warnings import log_unknown_settings
from flagsched.bootstrap.web import create_app
from flagsched.config.environment import unknown_settings
from flagsched.config.instance import use_or_make_secret, use_saved_secret
from flagsched.config.settings import read_server_settings, read_web_settings, read_worker_settings
from flagsched.web.access import Access, EvaluationRules
from tests.builders import SECRET
from tests.processes import ROOT, environment
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
        ({"JWT_SECRET_KEY": f"{SECRET}\n{SECRET}"}, "must be printable"),
        ({"JWT_SECRET_KEY": f" {SECRET}"}, '"JWT_SECRET_KEY" invalid: begins or ends with a blank'),
        ({"JWT_SECRET_KEY": f"{SECRET} "}, '"JWT_SECRET_KEY" invalid: begins or ends with a blank'),
        ({"JWT_SECRET_KEY": f"'{SECRET}'"}, '"JWT_SECRET_KEY" invalid: is in quotes'),
        ({"DATABASE_URL": "'postgres://app:s3cret@db/x'"}, '"DATABASE_URL" invalid: is in quotes'),
        (with_secret(FLAGSCHED_LOG_LEVEL='"INFO"'), '"FLAGSCHED_LOG_LEVEL" invalid: is in quotes'),
        (with_secret(FLAGSCHED_HORIZON_DAYS='"366"'), '"FLAGSCHED_HORIZON_DAYS" invalid: is in quotes'),
        (with_secret(FLAGSCHED_HORIZON_DAYS=""), '"FLAGSCHED_HORIZON_DAYS" invalid'),
        (with_secret(FLAGSCHED_EVALUATION_ACCESS=""), '"FLAGSCHED_EVALUATION_ACCESS" invalid'),
        (with_secret(DATABASE_URL=""), '"DATABASE_URL" invalid'),
        (with_secret(FLAGSCHED_RATE_STORAGE="redis://:s3cret@h:port"), '"FLAGSCHED_RATE_STORAGE" invalid'),
        (with_secret(FLAGSCHED_RATE_STORAGE="redis://:s3cret@h:99999"), '"FLAGSCHED_RATE_STORAGE" invalid'),
        (with_secret(FLAGSCHED_RATE_STORAGE="redis://:s3cret@h/0?x=1"), "check its port, its database"),
        (with_secret(FLAGSCHED_RATE_STORAGE="redis://:s3cret@h?protocol=9"), "check its port, its database"),
        (with_secret(FLAGSCHED_RATE_STORAGE="redis://:s3cret@h/flags"), "a Redis database by its number"),
        (with_secret(FLAGSCHED_RATE_STORAGE="memcached://s3cret"), "must be memory:// or a Redis URL"),
        (with_secret(FLAGSCHED_RATE_STORAGE="memory://x"), "must be memory:// or a Redis URL"),
        (with_secret(FLAGSCHED_RATE_STORAGE="127.0.0.1:6379"), "must be memory:// or a Redis URL"),
        (with_secret(FLASK_DEBUG="banana"), '"FLASK_DEBUG" invalid'),
        # Flask takes these for on.
        (with_secret(DATABASE_URL="postgresql://db/x", FLASK_DEBUG="off"), '"FLASK_DEBUG" is on'),
        (with_secret(DATABASE_URL="postgresql://db/x", FLASK_DEBUG=" 0"), '"FLASK_DEBUG" is on'),
        ({"JWT_ALGORITHM": "none"}, '"JWT_ALGORITHM" invalid'),
        ({"JWT_ALGORITHM": "RS256"}, '"JWT_PUBLIC_KEY" not set'),
        ({"JWT_ALGORITHM": "RS256", "JWT_PUBLIC_KEY": "x"}, "is not a public key in PEM"),
        ({"DATABASE_URL": "postgresql://db/x", "FLASK_DEBUG": "1", "JWT_SECRET_KEY": SECRET}, '"FLASK_DEBUG" is on'),
        ({"JWT_SECRET_KEY": SECRET, "FLAGSCHED_HORIZON_DAYS": "0"}, '"FLAGSCHED_HORIZON_DAYS" invalid'),
        ({"FLAGSCHED_LOG_LEVEL": "LOUD"}, '"FLAGSCHED_LOG_LEVEL" invalid'),
        (with_secret(FLAGSCHED_CONSOLE="banana"), '"FLAGSCHED_CONSOLE" invalid'),
        ({"FLAGSCHED_POOL_SIZE": "many"}, '"FLAGSCHED_POOL_SIZE" invalid'),
        (with_secret(FLAGSCHED_EVALUATION_ACCESS="private"), '"FLAGSCHED_EVALUATION_ACCESS" invalid'),
        (with_secret(FLAGSCHED_EVALUATION_ACCESS="key"), '"FLAGSCHED_EVALUATION_KEYS" not set'),
        (with_secret(FLAGSCHED_EVALUATION_KEYS="fifteen-letters"), '"FLAGSCHED_EVALUATION_KEYS" invalid'),
        (with_secret(FLAGSCHED_EVALUATION_KEYS=f"{KEY}, {KEY}"), "no spaces between"),
        (with_secret(FLAGSCHED_EVALUATION_KEYS=f"{KEY},{' ' * 16},{KEY}"), "visible ASCII"),
        (with_secret(FLAGSCHED_EVALUATION_ACCESS="key", FLAGSCHED_EVALUATION_KEYS=" " * 16), 'KEYS" not set'),
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
    ("name", "written", "meant"),
    [
        ("DATABASE_URL", " postgresql://app:s3cret@db/x\n", "postgresql://app:s3cret@db/x"),
        ("DATABASE_URL", "postgres://app:s3cret@db/x\r\n", "postgresql://app:s3cret@db/x"),
        ("JWT_SECRET_KEY", f"{SECRET}\n", SECRET),
        ("JWT_SECRET_KEY", f"{SECRET}\r\n", SECRET),
        ("FLAGSCHED_LOG_LEVEL", "debug", "DEBUG"),
        ("FLAGSCHED_LOG_LEVEL", " Warning ", "WARNING"),
        ("FLAGSCHED_HORIZON_DAYS", " 30\n", "30"),
        ("FLAGSCHED_POOL_SIZE", "\t7", "7"),
        ("FLAGSCHED_EVALUATION_ACCESS", "JWT\n", "jwt"),
        ("FLAGSCHED_EVALUATION_KEYS", f" {KEY},{KEY}2\n", f"{KEY},{KEY}2"),
        ("FLAGSCHED_CORS_ORIGINS", " https://app.example\n", "https://app.example"),
        ("FLAGSCHED_CORS_ORIGINS", "", None),
        ("FLAGSCHED_RATE_STORAGE", " redis://h:6379/1 ", "redis://h:6379/1"),
        ("FLAGSCHED_PROXIES", "1 ", "1"),
        ("FLAGSCHED_CONSOLE", "Off\n", "false"),
        ("FLASK_DEBUG", "True", "1"),
    ],
)
def test_a_setting_is_taken_as_it_is_meant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, written: str, meant: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv(name, written)
    as_written = read_web_settings()
    if meant is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, meant)

    assert as_written == read_web_settings()


def test_the_key_that_flagsched_run_saves_is_found_and_a_given_one_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    assert not use_saved_secret()
    monkeypatch.delenv("JWT_SECRET_KEY")
    use_or_make_secret()
    made = os.environ.pop("JWT_SECRET_KEY")

    assert use_saved_secret()
    assert os.environ["JWT_SECRET_KEY"] == made
    os.environ["JWT_SECRET_KEY"] = SECRET
    assert use_saved_secret()
    assert os.environ["JWT_SECRET_KEY"] == SECRET


def parts(value: Any) -> Iterator[Any]:
    """A settings object, and all those that it holds."""
    if is_dataclass(value):
        yield value
        for field in fields(value):
            yield from parts(getattr(value, field.name))


def test_no_secret_stands_in_the_repr_of_any_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {"jwt": SECRET, "api key": KEY, "database": "pass-of-pg", "redis": "pass-of-redis", "ssl": "pass-of-ssl"}
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("FLAGSCHED_EVALUATION_KEYS", KEY)
    monkeypatch.setenv("FLAGSCHED_RATE_STORAGE", "redis://:pass-of-redis@h:6379")
    for url in ("postgresql://u:pass-of-pg@h/x?sslpassword=pass-of-ssl", "postgresql://u@h/x?password=pass-of-pg"):
        monkeypatch.setenv("DATABASE_URL", url)

        found = [part for read in (read_web_settings, read_worker_settings) for part in parts(read())]

        output = "".join(f"{part!r}{part}" for part in found)
        assert {type(part).__name__ for part in found} >= {"Settings", "RateSettings", "EvaluationRules", "Limits"}
        assert [name for name, secret in secrets.items() if secret in output] == []


def test_a_misspelt_setting_is_named_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("FLAGSCHED_POL_SECONDS", "s3cret")
    monkeypatch.setenv("FLAGSCHED_FROBNICATE", "s3cret")

    log_unknown_settings()

    assert unknown_settings() == {"FLAGSCHED_FROBNICATE": "", "FLAGSCHED_POL_SECONDS": "FLAGSCHED_POLL_SECONDS"}
    assert "FLAGSCHED_POL_SECONDS" in caplog.text
    assert "s3cret" not in caplog.text


GUNICORN = [
    ("PORT", " 8000", None),
    ("PORT", "9000\n", None),
    ("WEB_CONCURRENCY", "\t3 ", None),
    ("HOST", "127.0.0.1 ", None),
    ("PORT", '"8000"', "is in quotes"),
    ("PORT", "", "Not a valid integer"),
    ("PORT", "0", "Must be greater than or equal to 1 and less than or equal to 65535"),
    ("PORT", "65536", "Must be greater than"),
    ("PORT", "8000.0", "Not a valid integer"),
    ("WEB_CONCURRENCY", "two", "Not a valid integer"),
    ("FLAGSCHED_THREADS", "-8", "Must be greater than"),
    ("HOST", "", "must be a name or an address"),
    ("HOST", "a b", "must be a name or an address"),
    ("HOST", "::1", "must be a name or an address"),
    ("HOST", "127.0.0.1:8317", "must be a name or an address"),
    ("HOST", "unix:/tmp/x", "must be a name or an address"),
    ("HOST", "a,b", "must be a name or an address"),
]


@pytest.mark.parametrize(("name", "written", "refusal"), GUNICORN)
def test_gunicorns_settings_are_taken_as_they_are_meant_or_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, written: str, refusal: str | None
) -> None:
    monkeypatch.setenv(name, written)

    if refusal is None:
        settings = read_server_settings()
        monkeypatch.setenv(name, written.strip())
        assert settings == read_server_settings()
        assert written.strip() in {*settings.bind.split(":"), str(settings.workers)}
    else:
        with pytest.raises(EnvError, match=f'Environment variable "{name}" invalid: .*{refusal}'):
            read_server_settings()


@pytest.mark.parametrize(("port", "status", "output"), [(" 8123\n", 0, "0.0.0.0:8123"), ('"8123"', 1, "is in quotes")])
def test_gunicorn_reads_its_port_so(port: str, status: int, output: str) -> None:
    command = [sys.executable, "-m", "gunicorn", "--check-config", "--print-config", "wsgi:app"]
    env = environment(sa.make_url("sqlite:////none/x.db"), PORT=port)

    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == status, done.stderr
    assert output in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


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
