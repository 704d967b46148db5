"""PgBouncer in transaction mode before a PostgreSQL server, and tests that run through it too."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.databases import socket_of
from tests.processes import started

THROUGH_PGBOUNCER = pytest.param("pooled", marks=pytest.mark.extra)
# For tests that stand on `postgresql_url`.
POOLED = pytest.mark.parametrize("postgresql_url", [THROUGH_PGBOUNCER], indirect=True)
POOLED_TOO = pytest.mark.parametrize("postgresql_url", ["direct", THROUGH_PGBOUNCER], indirect=True)

# What docs/operations.md tells to write, and what a server of the tests needs.
CONFIGURATION = """
[databases]
* = host={server}
[pgbouncer]
pool_mode = transaction
ignore_startup_parameters = options
server_login_retry = 1
unix_socket_dir = {folder}
listen_port = 5432
auth_type = trust
auth_file = {folder}/users
"""


@contextmanager
def pgbouncer(server: sa.URL, log: Path) -> Iterator[sa.URL]:
    """Gives the server's URL by way of a PgBouncer."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "users").write_text(f'"{server.username}" ""\n')
        (folder / "pgbouncer.ini").write_text(CONFIGURATION.format(server=server.query["host"], folder=folder))
        with started(_command(socket_of(server), folder), log, dict(os.environ)) as running:
            running.wait_for_log("process up")
            yield server.set(query={"host": name})


def _command(server: Path, folder: Path) -> list[str]:
    # Debian installs it where only administrators look.
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "pgbouncer is not installed"
    if os.geteuid() != 0:
        return [program, str(folder / "pgbouncer.ini")]
    # It refuses to serve as root; who may reach the server's socket, may do so as its owner.
    shutil.chown(folder, server.owner())
    return [program, "-u", server.owner(), str(folder / "pgbouncer.ini")]
