"""The command line: `flagsched`."""

from datetime import timedelta
from typing import Protocol

import click

from flagsched.version import __version__

LONGEST_TOKEN_HOURS = 24


class Runtime(Protocol):
    """What the commands do, each in its own process."""

    def make_token(self, subject: str, role: str, life: timedelta) -> str:
        """A signed token."""

    def run(self, port: int) -> None:
        """Web and worker together, on this machine."""

    def work(self, *, once: bool) -> None:
        """A worker."""

    def examine(self, *, as_json: bool, mend: bool) -> None:
        """Look whether all is well."""

    def upgrade(self, revision: str) -> None:
        """Bring the schema up."""

    def downgrade(self, revision: str) -> None:
        """Take the schema back."""

    def check(self) -> None:
        """Compare the schema with the code."""


@click.group()
@click.version_option(__version__)
def flagsched() -> None:
    """Plan feature-flag changes: on time, in order, exactly once."""


@flagsched.command()
@click.option("--subject", required=True, help="Who the token is for; stands in the history.")
@click.option("--role", default="admin", show_default=True, help="The claim 'role'; only 'admin' may change anything.")
@click.option(
    "--hours", default=1, show_default=True, type=click.IntRange(1, LONGEST_TOKEN_HOURS), help="How long it is valid."
)
@click.pass_obj
def token(runtime: Runtime, subject: str, role: str, hours: int) -> None:
    """Print a JWT, signed with JWT_SECRET_KEY; without it, with the key that 'flagsched run' keeps in this folder."""
    click.echo(runtime.make_token(subject, role, timedelta(hours=hours)))


@flagsched.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.pass_obj
def run(runtime: Runtime, port: int) -> None:
    """Run web and worker together on this machine, and print what to paste: to a terminal with a token."""
    runtime.run(port)


@flagsched.command()
@click.option("--once", is_flag=True, help="Record what is due now, and end.")
@click.pass_obj
def worker(runtime: Runtime, *, once: bool) -> None:
    """Run a worker: it writes down what is in effect."""
    runtime.work(once=once)


@flagsched.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--repair",
    "mend",
    is_flag=True,
    help="First recompute what follows from the plans (after a restore, or by hand).",
)
@click.pass_obj
def doctor(runtime: Runtime, *, as_json: bool, mend: bool) -> None:
    """Look whether all is well: settings, schema, clock, record, and everything stored. Exit code 0 or 1."""
    runtime.examine(as_json=as_json, mend=mend)


@flagsched.group()
def db() -> None:
    """The database's schema."""


@db.command()
@click.argument("revision", default="head")
@click.pass_obj
def upgrade(runtime: Runtime, revision: str) -> None:
    """Bring the schema up to REVISION."""
    runtime.upgrade(revision)


@db.command()
@click.argument("revision")
@click.pass_obj
def downgrade(runtime: Runtime, revision: str) -> None:
    """Take the schema back to REVISION; 'base' drops all tables and what is in them."""
    runtime.downgrade(revision)


@db.command()
@click.pass_obj
def check(runtime: Runtime) -> None:
    """Fail unless the tables are as this release expects them."""
    runtime.check()
