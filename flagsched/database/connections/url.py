"""Database URLs: every part is used, or refused by its name; none is ignored."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import psycopg2
import sqlalchemy as sa
from psycopg2.extensions import make_dsn

POSTGRESQL, SQLITE = "postgresql+psycopg2", "sqlite"
SCHEMES = {
    "postgres": POSTGRESQL,
    "postgresql": POSTGRESQL,
    "postgresql+psycopg2": POSTGRESQL,
    "sqlite": SQLITE,
    "sqlite+pysqlite": SQLITE,
}
SCHEME = re.compile(r"[A-Za-z0-9_+.-]{1,40}")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# The password may have any character but an @, as SQLAlchemy reads it.
HOSTS = re.compile(r"(?P<before>[^:/]*(?::[^@]*)?@)?+(?P<hosts>[^/?@]*,[^/?@]*)")
HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]*))?")
HIGHEST_PORT = 65535
DRIVER_ARGUMENTS = frozenset({"dsn", "database"})
"""psycopg2 has its own meaning for these: they are no parameters of PostgreSQL's."""
URL_PARTS = {"user": "username", "password": "password", "dbname": "database"}
"""Parameters that are also parts of a URL, by SQLAlchemy's names of the parts."""
CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    "sslnegotiation": ("postgres", "direct"),
    # A standby refuses every write, so a URL that may lead to one can't work.
    "target_session_attrs": ("read-write", "primary"),
    "client_encoding": ("utf8", "UTF8", "utf-8", "UTF-8"),
}
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
NUMBERS = (
    "connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"
)  # fmt: skip
MAX_CONNECT_SECONDS = 3
OWN_SETTINGS = frozenset({"timezone", "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"})
"""flagsched sets these for each connection."""
FORBIDDEN_SETTINGS = frozenset({"client_encoding", "default_transaction_read_only", "session_replication_role"})
"""With these flagsched could not write, or not as it promises."""
OPTION = re.compile(r"(?:\\.|[^\s\\])+", re.DOTALL)
SETTING = re.compile(r"(?:-c|--)(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)=(?P<value>.*)", re.DOTALL)


def database_url(text: str) -> sa.URL:
    """Read a database URL; `postgres://` and `postgresql://` mean psycopg2. Raises ValueError, without a password."""
    scheme, separator, rest = text.partition("://")
    if not (separator and SCHEME.fullmatch(scheme)):
        raise ValueError("is not a database URL, like postgresql://user:password@host/name or sqlite:///flagsched.db")
    if CONTROL.search(rest):
        raise ValueError("has a line break or another control character in it")
    driver = SCHEMES.get(scheme.lower())
    if driver is None:
        raise ValueError(_unknown_scheme(scheme))
    return _sqlite_url(rest) if driver == SQLITE else _postgresql_url(rest)


def url_settings(url: sa.URL) -> dict[str, str]:
    """The settings in the URL's `?options=`, by name; ValueError for other options, and for flagsched's settings."""
    words = [re.sub(r"\\(.)", r"\1", word) for word in OPTION.findall(str(url.query.get("options", "")))]
    # `-c name=value` may be one word or two.
    joined = re.sub(r"(^|\0)-c\0", r"\1-c", "\0".join(words)).split("\0") if words else []
    settings = {}
    for word in joined:
        match = SETTING.fullmatch(word)
        if match is None:
            raise ValueError(f"has options with {word[:40]!r}; they may only set something: -c name=value")
        settings[match["name"].lower().replace("-", "_")] = match["value"]
    _refuse_settings(settings)
    return settings


def _unknown_scheme(scheme: str) -> str:
    database, _, driver = scheme.partition("+")
    if driver and database.lower() in SCHEMES:
        return f"names the driver {driver!r}; write {database}:// alone, flagsched has its own"
    return f"names {scheme!r}; flagsched stores in postgresql or sqlite"


def _parse(driver: str, rest: str) -> sa.URL:
    try:
        url = sa.make_url(f"{driver}://{rest}")
    except (sa.exc.ArgumentError, ValueError):
        # Without SQLAlchemy's text: it may quote the password.
        raise ValueError("is not a database URL: write @ : / ? # and % in its password as %40 %3A …") from None
    if "@" in (url.host or ""):
        raise ValueError("has an '@' in its password, which must be written as %40")
    # SQLAlchemy drops parameters without a value.
    query = rest.rpartition("@")[2].partition("?")[2]
    if empty := [name for name, value in parse_qsl(query, keep_blank_values=True) if not value]:
        raise ValueError(f"has the parameter {empty[0][:40]!r} without a value")
    return url


def _sqlite_url(rest: str) -> sa.URL:
    url = _parse(SQLITE, rest)
    if url.host or url.username or url.port:
        raise ValueError("names a host: a file's path begins behind three slashes, as in sqlite:///flagsched.db")
    if url.database in {None, "", ":memory:"} or str(url.database).startswith("file:"):
        raise ValueError("names no file: web and worker would not share one database")
    if url.query:
        raise ValueError(f"has the parameter {min(url.query)[:40]!r}; an SQLite URL may have none")
    # SQLAlchemy and Flask-SQLAlchemy resolve a relative path differently: make it absolute.
    return url.set(database=str(Path(str(url.database)).resolve()))


def _postgresql_url(rest: str) -> sa.URL:
    if "@" in rest.partition("?")[2]:
        # SQLAlchemy would take all before it for user and password, hosts and parameters too.
        raise ValueError(
            "has an '@' behind a question mark: write %40 in a parameter, and %3F for a '?' in the password"
        )
    url = _parse(POSTGRESQL, _hosts_as_parameters(rest))
    if twice := [name for name, values in url.normalized_query.items() if len(values) > 1]:
        raise ValueError(f"has the parameter {twice[0][:40]!r} twice")
    url = _without_url_parts(url)
    _refuse_ports(url)
    for name, (value,) in url.normalized_query.items():
        _refuse_parameter(name, value)
    url_settings(url)
    return url


def _hosts_as_parameters(rest: str) -> str:
    """`h1:1,h2:2/name` in the form that SQLAlchemy reads: `/name?host=h1,h2&port=1,2`."""
    match = HOSTS.match(rest)
    if match is None:
        return rest
    parts = [HOST.fullmatch(part) for part in match["hosts"].split(",")]
    if None in parts:
        raise ValueError("names several hosts, and one of them is not host or host:port")
    hosts = ",".join(part["host"].strip("[]") for part in parts if part)
    ports = ",".join(part["port"] or "" for part in parts if part)
    path, _, query = rest[match.end() :].partition("?")
    named = "&".join([f"host={hosts}", *([f"port={ports}"] if ports.strip(",") else []), *([query] if query else [])])
    return f"{match['before'] or ''}{path or '/'}?{named}"


def _without_url_parts(url: sa.URL) -> sa.URL:
    """Move user, password and database from the parameters to the URL, where SQLAlchemy hides the password."""
    moved: dict[str, Any] = {URL_PARTS[name]: value for name, value in url.query.items() if name in URL_PARTS}
    parts = {"host": url.host, "port": url.port} | {name: getattr(url, part) for name, part in URL_PARTS.items()}
    if twice := [name for name, value in parts.items() if value and name in url.query]:
        raise ValueError(f"has {twice[0]!r} both before the question mark and behind it")
    return url.set(query={name: value for name, value in url.query.items() if name not in URL_PARTS}, **moved)


def _refuse_ports(url: sa.URL) -> None:
    several = str(url.query.get("port", "")).split(",")
    ports = [port for port in ("" if url.port is None else str(url.port), *several) if port]
    if not all(
        port.isascii() and port.isdigit() and len(port) < 6 and 1 <= int(port) <= HIGHEST_PORT for port in ports
    ):
        raise ValueError(f"has a port that is not one of 1 to {HIGHEST_PORT}")
    if "port" in url.query and len(several) != len(str(url.query.get("host", "")).split(",")):
        raise ValueError("has another number of ports than of hosts")


def _refuse_parameter(name: str, value: str) -> None:
    if not _is_known(name):
        raise ValueError(f"has the parameter {name[:40]!r}, which PostgreSQL does not know")
    if name == "replication":
        raise ValueError("has the parameter 'replication', and flagsched is no replica")
    if value not in CHOICES.get(name, (value,)):
        raise ValueError(f"has {name}={value[:40]}; it must be one of: {', '.join(CHOICES[name])}")
    if name in NUMBERS and not (value.isascii() and value.isdigit() and len(value) < 10):
        raise ValueError(f"has {name}={value[:40]}; it must be a whole number")
    if name == "connect_timeout" and not 1 <= int(value) <= MAX_CONNECT_SECONDS:
        raise ValueError(f"has connect_timeout={value}; it must be 1 to {MAX_CONNECT_SECONDS} s: requests wait for it")
    if name in FILES and value != "system" and not Path(value).is_file():
        raise ValueError(f"has {name}={value[:100]}, and there is no such file")


def _is_known(name: str) -> bool:
    try:
        make_dsn(**{name: "0"})
    except psycopg2.Error:
        return False
    return name not in DRIVER_ARGUMENTS


def _refuse_settings(settings: Mapping[str, str]) -> None:
    if own := OWN_SETTINGS & settings.keys():
        raise ValueError(f"has options that set {min(own)}, which flagsched sets itself")
    if forbidden := FORBIDDEN_SETTINGS & settings.keys():
        raise ValueError(f"has options that set {min(forbidden)}: flagsched can't work with it")
