"""`flagsched run`: web and worker, for trying it out."""

import click

from flagsched.bootstrap import demo
from flagsched.bootstrap.commands.db import change_schema
from flagsched.bootstrap.commands.failures import fails_in_a_line
from flagsched.bootstrap.commands.token import sign_in_link, signed_token
from flagsched.database.schema import migrations


@click.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@fails_in_a_line
def run(port: int) -> None:
    """Run web and worker together on this machine, and print example requests, with a token on a terminal."""
    demo.run(
        port,
        make_token=signed_token,
        make_link=sign_in_link,
        upgrade=lambda: change_schema(migrations.upgrade),
    )
