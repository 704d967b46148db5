"""PostgreSQL's clock in a test's hands: its `now()` and `clock_timestamp()` hidden by others of the same names."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from flagsched.domain.instants import rfc3339
from tests.databases import administer

SCHEMA = """
    CREATE SCHEMA skew;
    CREATE TABLE skew.clock (ahead interval NOT NULL, stands_at timestamptz);
    INSERT INTO skew.clock VALUES ('0', NULL);
    CREATE FUNCTION skew.now() RETURNS timestamptz STABLE LANGUAGE sql AS
    'SELECT coalesce(stands_at, pg_catalog.now() + ahead) FROM skew.clock';
    CREATE FUNCTION skew.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS
    'SELECT coalesce(stands_at, pg_catalog.clock_timestamp() + ahead) FROM skew.clock';
"""
# The flags' own present does not go back with the clock: what a reader has seen of them is written down.
QUIET = """
    NOT EXISTS (SELECT FROM feature_flags WHERE next_due_at <= skew.clock_timestamp() + interval '30 milliseconds')
"""


class DatabaseClock:
    """The clock of one database, for all who connect to it from now on."""

    def __init__(self, url: sa.URL) -> None:
        self._url = url
        administer(url, SCHEMA, f"ALTER DATABASE {url.database} SET search_path = skew, pg_catalog, public")
        self._engine = sa.create_engine(url)

    def remove(self) -> None:
        self._engine.dispose()
        administer(self._url, f"ALTER DATABASE {self._url.database} RESET search_path", "DROP SCHEMA skew CASCADE")

    def set_by(self, length: timedelta) -> bool:
        """Set it forward or back, unless something is due or will be in a moment; give whether it was done."""
        return self._set("ahead = ahead + %(by)s, stands_at = NULL WHERE" + QUIET, by=length) == 1

    def stand_at(self, instant: datetime) -> None:
        """Set it, and have it stand still."""
        self._set("stands_at = %(at)s", at=rfc3339(instant))

    def go_on(self) -> None:
        """Have it go on from where it stands."""
        self._set("ahead = stands_at - pg_catalog.clock_timestamp(), stands_at = NULL")

    def _set(self, values: str, **parameters: object) -> int:
        with self._engine.begin() as connection:
            return connection.exec_driver_sql(f"UPDATE skew.clock SET {values}", parameters).rowcount
