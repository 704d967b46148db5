"""Database URLs: each part is honoured, or refused by its name, and no password is told."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from flagsched.config.settings import read_settings
from flagsched.database.connections.engine import Limits, engine_options, timeouts
from flagsched.database.connections.url import OWN_SETTINGS, database_url, url_settings

PG = "postgresql://app:s3cret@db.example"


def connect_arguments(url: sa.URL) -> dict[str, object]:
    """What psycopg2 is called with."""
    options = engine_options(url, Limits())
    engine = sa.create_engine(url, **options)
    _, arguments = engine.dialect.create_connect_args(url)
    given: dict[str, object] = dict(arguments)
    return given | dict(options["connect_args"])


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg2://u:p@h/d"),
        ("postgresql://u:p@h/d", "postgresql+psycopg2://u:p@h/d"),
        ("POSTGRES://u:p@h/d", "postgresql+psycopg2://u:p@h/d"),
        ("postgresql+psycopg2://u:p@h/d", "postgresql+psycopg2://u:p@h/d"),
        ("postgresql://u:a%40b%2Cc@h/d", "postgresql+psycopg2://u:a%40b%2Cc@h/d"),
        ("postgresql://u:a,b@h/d", "postgresql+psycopg2://u:a%2Cb@h/d"),
        ("postgresql://h/d?user=u&password=p", "postgresql+psycopg2://u:p@h/d"),
        ("sqlite:////srv/flagsched.db", "sqlite:////srv/flagsched.db"),
        ("sqlite+pysqlite:////srv/my flags.db", "sqlite:////srv/my flags.db"),
    ],
)
def test_a_url_is_read_as_it_is_meant(text: str, read: str) -> None:
    assert database_url(text).render_as_string(hide_password=False) == read


def test_a_relative_file_is_one_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert database_url("sqlite:///x.db").database == str(tmp_path / "x.db")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (f"{PG}/x", "db.example", None),
        (f"{PG}:5433/x", "db.example", 5433),
        ("postgresql://a,b/x", "a,b", ","),
        ("postgresql://u:s3cret@a:1,b:2/x?sslmode=require", "a,b", "1,2"),
        ("postgresql://a,b:5433/x", "a,b", ",5433"),
        ("postgresql://[::1]:5432,b/x", "::1,b", "5432,"),
        ("postgresql://a:1,b", "a,b", "1,"),
        ("postgresql:///x?host=/var/run/postgresql", "/var/run/postgresql", None),
        ("postgresql:///x?host=a,b&port=1,2", "a,b", "1,2"),
        ("postgresql://a/x?port=5433", "a", "5433"),
    ],
)
def test_hosts_and_ports_are_those_of_the_url(text: str, host: str, port: object) -> None:
    arguments = connect_arguments(database_url(text))

    assert (arguments["host"], arguments.get("port")) == (host, port)


def test_every_parameter_stands_beside_ours() -> None:
    query = "sslmode=require&channel_binding=require&application_name=mine&keepalives_idle=60&connect_timeout=3"
    arguments = connect_arguments(database_url(f"{PG}/x?{query}&target_session_attrs=primary&gssencmode=disable"))

    ours = connect_arguments(database_url(f"{PG}/x"))
    given = {
        "sslmode": "require",
        "channel_binding": "require",
        "application_name": "mine",
        "keepalives_idle": "60",
        "connect_timeout": "3",
        "target_session_attrs": "primary",
        "gssencmode": "disable",
    }
    assert arguments == ours | given
    assert ours["application_name"] == "flagsched"


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ("-csearch_path%3Dx", {"search_path": "x"}),
        ("-c%20search_path%3Dx%20--work-mem%3D1MB", {"search_path": "x", "work_mem": "1MB"}),
        ("-c+search_path%3Da,%5C+b", {"search_path": "a, b"}),
    ],
)
def test_options_stand_before_ours(options: str, settings: dict[str, str]) -> None:
    url = database_url(f"{PG}/x?options={options}")

    told = str(connect_arguments(url)["options"])

    assert url_settings(url) == settings
    assert told.endswith("-c idle_in_transaction_session_timeout=10s")
    assert told.startswith(str(url.query["options"]))


def test_what_flagsched_sets_itself_is_known_as_its_own() -> None:
    assert {"timezone", *timeouts(Limits())} == OWN_SETTINGS


REFUSED = {
    "": "is not a database URL",
    "nonsense": "is not a database URL",
    "postgres:/u:s3cret@h/x": "is not a database URL",
    "postgresql://u:s3c@ret:9@h/x": "is not a database URL",
    f"{PG}/x?application_name=me@127.0.0.2": "has an '@' behind a question mark",
    "postgresql://a:1,b:2/x?application_name=x@y": "has an '@' behind a question mark",
    "postgresql://h:0/x": "has a port that is not one of 1 to 65535",
    "postgresql://u:s3c@ret@h/x": "must be written as %40",
    "postgresql://h/x\n?sslmode=require": "a line break",
    "mysql://u:s3cret@h/x": "names 'mysql'; flagsched stores in postgresql or sqlite",
    "postgresql+asyncpg://u:s3cret@h/x": "names the driver 'asyncpg'; write postgresql://",
    "postgresql+psycopg://u:s3cret@h/x": "names the driver 'psycopg'",
    "sqlite+aiosqlite:///x.db": "names the driver 'aiosqlite'; write sqlite://",
    "sqlite://": "names no file",
    "sqlite:///": "names no file",
    "sqlite:///:memory:": "names no file",
    "sqlite:///file:x.db": "names no file",
    "sqlite://relative.db": "names a host",
    "sqlite://relative/x.db": "names a host",
    "sqlite:///x.db?mode=ro": "has the parameter 'mode'",
    "sqlite:///x.db?cache=shared": "has the parameter 'cache'",
    "sqlite:///x.db?uri=true": "has the parameter 'uri'",
    "sqlite:///x.db?timeout=60": "has the parameter 'timeout'",
    f"{PG}:port/x": "is not a database URL",
    f"{PG}:70000/x": "has a port that is not one of 1 to 65535",
    f"{PG}/x?port=0": "has a port that is not one of 1 to 65535",
    f"{PG}/x?host=other": "has 'host' both before the question mark and behind it",
    f"{PG}/x?password=other": "has 'password' both",
    f"{PG}/x?dbname=y": "has 'dbname' both",
    "postgresql://a:x,b/y": "names several hosts, and one of them is not host or host:port",
    "postgresql:///x?host=a,b&port=1,2,3": "has another number of ports than of hosts",
    "postgresql:///x?host=a,b&port=1": "has another number of ports than of hosts",
    "postgresql:///x?host=a:1&host=b:2": "has the parameter 'host' twice",
    f"{PG}/x?sslmode=require&sslmode=disable": "has the parameter 'sslmode' twice",
    f"{PG}/x?sslmode=": "has the parameter 'sslmode' without a value",
    f"{PG}/x?sslmode": "has the parameter 'sslmode' without a value",
    f"{PG}/x?sslmode=required": "has sslmode=required; it must be one of",
    f"{PG}/x?ssl=true": "has the parameter 'ssl', which PostgreSQL does not know",
    f"{PG}/x?pool_size=5": "has the parameter 'pool_size', which PostgreSQL does not know",
    f"{PG}/x?plugin=evil": "has the parameter 'plugin', which PostgreSQL does not know",
    f"{PG}/x?dsn=host": "has the parameter 'dsn', which PostgreSQL does not know",
    f"{PG}/x?sslrootcert=/none/ca.pem": "has sslrootcert=/none/ca.pem, and there is no such file",
    f"{PG}/x?target_session_attrs=any": "has target_session_attrs=any; it must be one of: read-write, primary",
    f"{PG}/x?target_session_attrs=prefer-standby": "it must be one of: read-write, primary",
    f"{PG}/x?connect_timeout=0": "has connect_timeout=0; it must be 1 to 3 s",
    f"{PG}/x?connect_timeout=10": "has connect_timeout=10; it must be 1 to 3 s",
    f"{PG}/x?connect_timeout=soon": "has connect_timeout=soon; it must be a whole number",
    f"{PG}/x?client_encoding=latin1": "has client_encoding=latin1",
    f"{PG}/x?replication=database": "has the parameter 'replication'",
    f"{PG}/x?options=-c%20lock_timeout%3D1h": "has options that set lock_timeout, which flagsched sets itself",
    f"{PG}/x?options=--Statement-Timeout%3D0": "has options that set statement_timeout",
    f"{PG}/x?options=-ctimezone%3DAsia/Tokyo": "has options that set timezone",
    f"{PG}/x?options=-csession_replication_role%3Dreplica": "has options that set session_replication_role",
    f"{PG}/x?options=-cdefault_transaction_read_only%3Don": "has options that set default_transaction_read_only",
    f"{PG}/x?options=-B%205": "has options with '-B'; they may only set something",
    f"{PG}/x?options=-c": "has options with '-c'; they may only set something",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_url_that_cannot_work_as_written_is_refused_by_name(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", text)

    with pytest.raises(ValueError, match='Environment variable "DATABASE_URL" invalid') as refused:
        read_settings()

    assert REFUSED[text] in str(refused.value)
    assert "s3c" not in str(refused.value)
