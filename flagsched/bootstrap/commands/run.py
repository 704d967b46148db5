"""`flagsched run`: web and worker, for trying it out."""

import click

from flagsched.bootstrap import demo
from flagsched.bootstrap.commands.db import change_schema
from flagsched.bootstrap.commands.failures import fails_in_a_line
from flagsched.bootstrap.commands.token import signed_token
from flagsched.database.schema import migrations


@click.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@fails_in_a_line
def run(port: int) -> None:
    """Run web and worker together on this machine, and print example requests, on a terminal with a token."""
    demo.run(port, make_token=signed_token, upgrade=lambda: change_schema(migrations.upgrade))
