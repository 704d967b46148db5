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
from flagsched.bootstrap.plans import plan
from flagsched.bootstrap.web import create_app
from flagsched.client.errors import FileRefused, ServerFailed
from flagsched.config.environment import BadSettings
from flagsched.config.instance import use_saved_secret
from flagsched.config.settings import read_settings, read_web_settings
from flagsched.database.connections.engine import open_engine
from flagsched.database.connections.primary import NotPrimary
from flagsched.database.schema import migrations
from flagsched.version import __version__
from flagsched.web.auth import SUBJECT, make_token
from flagsched.web.roles import Role
from flagsched.web.tokens.claims import HS256, MAX_LIFE

ROLE_HELP = (
    "The role that it holds: 'viewer' reads and previews, 'operator' also holds and releases, 'admin' does everything. "
    "Any other opens nothing under /api/admin."
)
TOKEN_HOURS = click.IntRange(1, MAX_LIFE // timedelta(hours=1))


@click.group()
@click.version_option(__version__)
def flagsched() -> None:
    """Plan feature-flag changes: on time, in order, exactly once."""


@flagsched.command()
@click.option("--subject", required=True, help="The token's subject: the actor in the history.")
@click.option("--role", default=Role.ADMIN.value, show_default=True, help=ROLE_HELP)
@click.option("--hours", default=1, show_default=True, type=TOKEN_HOURS, help="How long it is valid.")
def token(subject: str, role: str, hours: int) -> None:
    """Print a JWT, signed with JWT_SECRET_KEY or, without it, with the key that 'flagsched run' made in this folder."""
    click.echo(_make_token(subject, role, timedelta(hours=hours)))


@flagsched.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
def run(port: int) -> None:
    """Run web and worker together on this machine, and print example requests, on a terminal with a token."""
    demo.run(port, make_token=_make_token, upgrade=lambda: _change_schema(migrations.upgrade))


@flagsched.command()
@click.option("--once", is_flag=True, help="Record what is due now, and exit.")
def worker(*, once: bool) -> None:
    """Run a worker: it records the schedules that have taken effect."""
    (worker_process.record_once if once else worker_process.main)()


@flagsched.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--repair", is_flag=True, help="First recompute what follows from the schedules, as after a restore.")
def doctor(*, as_json: bool, repair: bool) -> None:
    """Check the settings, the schema, the clocks, the record, and everything stored. Exit code 1 for any problem."""
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


flagsched.add_command(plan)


def main() -> None:
    """Run the command that the arguments name; exit code 2 for bad settings, 1 for other errors."""
    try:
        flagsched()
    except FileRefused as error:
        sys.exit(str(error))
    except (BadSettings, sa.exc.SQLAlchemyError, NotPrimary, CommandError, ServerFailed) as error:
        print(f"flagsched: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, BadSettings) else 1)


def _make_token(subject: str, role: str, life: timedelta) -> str:
    if not SUBJECT.fullmatch(subject):
        sys.exit("flagsched token: --subject must be 1 to 200 printable characters")
    use_saved_secret()
    settings = read_web_settings()
    if settings.tokens.algorithm != HS256:
        sys.exit("flagsched token: with JWT_ALGORITHM=RS256, tokens come from the identity provider")
    with create_app(settings).app_context():
        return make_token(subject, role, life)


def _change_schema(change: Callable[[sa.Engine], None]) -> None:
    settings = read_settings()
    configure_logs(settings.log_level)
    change(open_engine(settings.database_url, settings.limits))
