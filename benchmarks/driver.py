"""Connections for programs that use only the driver."""

from typing import Any

import psycopg2
from psycopg2.extras import register_uuid
from sqlalchemy import URL, make_url


def connect(url: URL | str) -> Any:
    """A connection of psycopg2 to the database at `url`."""
    register_uuid()  # type: ignore[no-untyped-call]
    return psycopg2.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))
