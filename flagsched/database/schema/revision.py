"""Which schema revision this release was made for, and which one the database is at."""

import sqlalchemy as sa

from flagsched.domain.errors import SchemaOutdated

VERSION_TABLE = "flagsched_alembic_version"
SCHEMA_REVISION = "0006"


def check_schema(connection: sa.Connection) -> None:
    """Raise SchemaOutdated unless the database is at this release's revision or a later one.

    Migrations are forward-safe, so that the old code runs on until it is replaced.
    """
    version = sa.table(VERSION_TABLE, sa.column("version_num"))
    found = connection.execute(sa.select(version.c.version_num)).scalar_one_or_none()
    # Revisions are numbered, so that their text has their order.
    if found is None or found < SCHEMA_REVISION:
        raise SchemaOutdated(found, SCHEMA_REVISION)
