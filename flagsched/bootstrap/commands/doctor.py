"""`flagsched doctor`."""

import click

from flagsched.bootstrap import doctor as examination
from flagsched.bootstrap.commands.failures import fails_in_a_line


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--repair", is_flag=True, help="First recompute what follows from the schedules, as after a restore.")
@fails_in_a_line
def doctor(*, as_json: bool, repair: bool) -> None:
    """Check the settings, the schema, the clocks, the record, and everything stored. Exit code 1 for any problem."""
    examination.run(as_json=as_json, repair_first=repair)
