"""`flagsched worker`."""

import click

from flagsched.bootstrap import worker as process
from flagsched.bootstrap.commands.failures import fails_in_a_line


@click.command()
@click.option("--once", is_flag=True, help="Record what is due now, and exit.")
@fails_in_a_line
def worker(*, once: bool) -> None:
    """Run a worker: it records the schedules that have taken effect."""
    (process.record_once if once else process.main)()
