"""`flagsched db`: the database's schema."""

from collections.abc import Callable

import click
import sqlalchemy as sa

from flagsched.bootstrap.commands.failures import fails_in_a_line
from flagsched.bootstrap.logs import configure_logs
from flagsched.config.settings import read_settings
from flagsched.database.connections.engine import open_engine
from flagsched.database.schema import migrations


@click.group()
def db() -> None:
    """Change or check the schema of the database."""


@db.command()
@click.argument("revision", default="head")
@fails_in_a_line
def upgrade(revision: str) -> None:
    """Bring the schema up to REVISION."""
    change_schema(lambda engine: migrations.upgrade(engine, revision))


@db.command()
@click.argument("revision")
@fails_in_a_line
def downgrade(revision: str) -> None:
    """Take the schema back to REVISION; 'base' drops all tables and what is in them."""
    change_schema(lambda engine: migrations.downgrade(engine, revision))


@db.command()
@fails_in_a_line
def check() -> None:
    """Fail unless the tables are as this release expects them."""
    change_schema(migrations.check)


def change_schema(change: Callable[[sa.Engine], None]) -> None:
    """Do something with the schema of the database that the settings name."""
    settings = read_settings()
    configure_logs(settings.log_level)
    change(open_engine(settings.database_url, settings.limits))
