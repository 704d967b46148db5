"""Opening a database: the options of its engine, and what is prepared for each kind of database."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from flagsched.database.connections.postgresql import prepare_postgresql
from flagsched.database.connections.sqlite import prepare_sqlite
from flagsched.database.connections.url import url_settings


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for the database, in seconds, and how many connections to hold."""

    connect_seconds: int = 2
    ping_seconds: float = 1.0
    pool_seconds: float = 1.5
    lock_seconds: int = 3
    statement_seconds: int = 4
    idle_in_transaction_seconds: int = 10
    pool_size: int = 5
    pool_overflow: int = 10


def engine_options(url: sa.URL, limits: Limits) -> dict[str, Any]:
    """The keyword arguments of `create_engine` for this URL."""
    on_sqlite = url.get_backend_name() == "sqlite"
    return {
        "pool_size": limits.pool_size,
        "max_overflow": limits.pool_overflow,
        "pool_timeout": limits.pool_seconds,
        "connect_args": {"timeout": limits.lock_seconds} if on_sqlite else _postgresql_arguments(url, limits),
    }


def timeouts(limits: Limits) -> dict[str, str]:
    """PostgreSQL's own, by the names of its settings."""
    return {
        "lock_timeout": f"{limits.lock_seconds}s",
        "statement_timeout": f"{limits.statement_seconds}s",
        "idle_in_transaction_session_timeout": f"{limits.idle_in_transaction_seconds}s",
    }


def prepare(engine: sa.Engine, limits: Limits) -> sa.Engine:
    """Have SQLite begin transactions as we say, and PostgreSQL's connections pinged before they are used."""
    if engine.dialect.name == "sqlite":
        prepare_sqlite(engine)
    else:
        settings = url_settings(engine.url) | timeouts(limits)
        prepare_postgresql(engine, ping_seconds=limits.ping_seconds, settings=settings)
    return engine


def open_engine(url: sa.URL, limits: Limits) -> sa.Engine:
    """An engine that connects when it is first used: so it may be opened before a fork."""
    return prepare(sa.create_engine(url, **engine_options(url, limits)), limits)


def insert_for(dialect: str, table: sa.Table) -> Any:
    """An INSERT of the dialect, which knows ON CONFLICT; typed loosely, since there are two of them."""
    return (sqlite.insert if dialect == "sqlite" else postgresql.insert)(table)


def _postgresql_arguments(url: sa.URL, limits: Limits) -> dict[str, Any]:
    """Ours, unless the URL sets them; its options, which can't set any of ours, stand before ours."""
    # East of UTC the server would write the calendar's last hours as year 10000, which the driver can't read.
    options = ["-c timezone=UTC", *(f"-c {name}={value}" for name, value in timeouts(limits).items())]
    ours = {
        "connect_timeout": limits.connect_seconds,
        "application_name": "flagsched",
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 8000,
    }
    joined = " ".join([str(url.query.get("options", "")), *options]).strip()
    return {name: value for name, value in ours.items() if name not in url.query} | {"options": joined}
