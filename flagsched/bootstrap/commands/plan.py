"""`flagsched plan`: previews and applies plan files, on a server."""

import json
import shutil
import sys

import click

from flagsched.bootstrap.commands.server import asked_server
from flagsched.client.plan_files import STDIN, PlanFile, read_plan_file
from flagsched.client.plans import AppliedPlan, Mark, apply_plan
from flagsched.client.server import Server
from flagsched.client.tables import summary_of, table_of

COLOURS = {
    Mark.ADD: "green",
    Mark.CANCEL: "red",
    Mark.IN_EFFECT: "bright_black",
    Mark.FAILED: "magenta",
    Mark.SKIPPED: "yellow",
}
DIFFERS = 2
NO_TERMINAL = "not applied: there is no terminal to ask on. Add --yes to apply, or --check to change nothing"


@click.group()
def plan() -> None:
    """Plan files, on the server at FLAGSCHED_URL: exit code 1 for all that goes wrong."""


@plan.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Print the server's answer.")
def preview(file: str, *, as_json: bool) -> None:
    """Print what applying FILE would change; '-' reads stdin."""
    applied = apply_plan(asked_server(), read_plan_file(file), dry_run=True)
    (_print_json if as_json else _print_table)(applied)


@plan.command()
@click.argument("file")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--check", is_flag=True, help="Change nothing; exit code 2 if the server differs from the file.")
@click.option("--json", "as_json", is_flag=True, help="Print the server's answer; with --yes or --check.")
def apply(file: str, *, yes: bool, check: bool, as_json: bool) -> None:
    """Make the plan of FILE's name be what FILE says; '-' reads stdin. What is in effect stays."""
    if as_json and not (yes or check):
        raise click.UsageError("--json needs --yes or --check")
    if not (yes or check or _may_ask(file)):
        sys.exit(f"flagsched: {NO_TERMINAL}")
    server, read = asked_server(), read_plan_file(file)
    planned = apply_plan(server, read, dry_run=True)
    if not as_json:
        _print_table(planned)
    if planned.changed and not check:
        _apply(server, read, planned, yes=yes, as_json=as_json)
    elif as_json:
        _print_json(planned)
    sys.exit(DIFFERS if planned.changed and check else 0)


def _apply(server: Server, file: PlanFile, planned: AppliedPlan, *, yes: bool, as_json: bool) -> None:
    if not yes and not click.confirm("\nApply?"):
        sys.exit("flagsched: nothing was changed")
    applied = apply_plan(server, file, dry_run=False)
    if as_json:
        _print_json(applied)
        return
    if not applied.does_the_same_as(planned):
        click.echo("\nThe server has changed in between. What was done:\n")
        _print_table(applied)
    click.echo(f"\nApplied {summary_of(applied, done=True)}")


def _may_ask(file: str) -> bool:
    return file != STDIN and sys.stdin.isatty() and sys.stdout.isatty()


def _print_json(applied: AppliedPlan) -> None:
    click.echo(json.dumps(applied.answer, indent=2))


def _print_table(applied: AppliedPlan) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    click.echo(f"{summary_of(applied)}\n")
    for line in table_of(applied.changes, width):
        colour = COLOURS.get(line.mark) if line.mark else None
        click.echo(click.style(line.text, fg=colour) if colour else line.text)
