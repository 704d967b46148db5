"""The command line: `flagsched`."""

import sys
from collections.abc import Callable
from datetime import timedelta

import click
import sqlalchemy as sa
from alembic.util import CommandError

from flagsched.bootstrap import demo
from flagsched.bootstrap import doctor as examination
from flagsched.bootstrap import worker as worker_process
from flagsched.bootstrap.logs import configure_logs
from flagsched.bootstrap.web import create_app
from flagsched.config import BadSettings, read_settings, read_web_settings, use_kept_secret
from flagsched.database.connections.engine import open_engine
from flagsched.database.connections.primary import NotPrimary
from flagsched.database.schema import migrations
from flagsched.version import __version__
from flagsched.web.auth import SUBJECT, make_token
from flagsched.web.tokens.claims import HS256

MAX_TOKEN_HOURS = 24


@click.group()
@click.version_option(__version__)
def flagsched() -> None:
    """Plan feature-flag changes: on time, in order, exactly once."""


@flagsched.command()
@click.option("--subject", required=True, help="Who the token is for; stands in the history.")
@click.option("--role", default="admin", show_default=True, help="The claim 'role'; only 'admin' may change anything.")
@click.option(
    "--hours", default=1, show_default=True, type=click.IntRange(1, MAX_TOKEN_HOURS), help="How long it is valid."
)
def token(subject: str, role: str, hours: int) -> None:
    """Print a JWT, signed with JWT_SECRET_KEY; without it, with the key that 'flagsched run' keeps in this folder."""
    click.echo(_make_token(subject, role, timedelta(hours=hours)))


@flagsched.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
def run(port: int) -> None:
    """Run web and worker together on this machine, and print what to paste: to a terminal with a token."""
    demo.run(port, make_token=_make_token, upgrade=lambda: _change_schema(migrations.upgrade))


@flagsched.command()
@click.option("--once", is_flag=True, help="Record what is due now, and end.")
def worker(*, once: bool) -> None:
    """Run a worker: it writes down what is in effect."""
    (worker_process.record_once if once else worker_process.main)()


@flagsched.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--repair",
    is_flag=True,
    help="First recompute what follows from the schedules (after a restore, or by hand).",
)
def doctor(*, as_json: bool, repair: bool) -> None:
    """Look whether all is well: settings, schema, clock, record, and everything stored. Exit code 0 or 1."""
    examination.run(as_json=as_json, repair_first=repair)


@flagsched.group()
def db() -> None:
    """The database's schema."""


@db.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Bring the schema up to REVISION."""
    _change_schema(lambda engine: migrations.upgrade(engine, revision))


@db.command()
@click.argument("revision")
def downgrade(revision: str) -> None:
    """Take the schema back to REVISION; 'base' drops all tables and what is in them."""
    _change_schema(lambda engine: migrations.downgrade(engine, revision))


@db.command()
def check() -> None:
    """Fail unless the tables are as this release expects them."""
    _change_schema(migrations.check)


def main() -> None:
    """Run the command that the arguments name; exit code 2 for bad settings, 1 if the database refuses."""
    try:
        flagsched()
    except BadSettings as error:
        print(f"flagsched: {error}", file=sys.stderr)
        sys.exit(2)
    except (sa.exc.SQLAlchemyError, NotPrimary, CommandError) as error:
        print(f"flagsched: {error}", file=sys.stderr)
        sys.exit(1)


def _make_token(subject: str, role: str, life: timedelta) -> str:
    if not SUBJECT.fullmatch(subject):
        sys.exit("flagsched token: --subject must be 1 to 200 printable characters")
    use_kept_secret()
    settings = read_web_settings()
    if settings.tokens.algorithm != HS256:
        sys.exit("flagsched token: with JWT_ALGORITHM=RS256, tokens come from the identity provider")
    with create_app(settings).app_context():
        return make_token(subject, role, life)


def _change_schema(change: Callable[[sa.Engine], None]) -> None:
    settings = read_settings()
    configure_logs(settings.log_level)
    change(open_engine(settings.database_url, settings.limits))
