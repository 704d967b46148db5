"""The command line: `flagsched`. A command's module is loaded only when that command is run."""

import sys
from importlib import import_module
from typing import NamedTuple

import click

from flagsched.client.errors import FileRefused, ServerFailed
from flagsched.config.environment import BadSettings
from flagsched.version import __version__


class Listed(NamedTuple):
    """A command as the help lists it, and its module in `bootstrap.commands`."""

    module: str
    summary: str


# Written down here too, so that the help is shown without loading all of them.
COMMANDS = {
    "token": Listed("token", "Print a JWT"),
    "run": Listed("run", "Run web and worker together on this machine"),
    "worker": Listed("worker", "Run a worker"),
    "doctor": Listed("doctor", "Check the settings, the schema, the clocks, the record, and everything stored"),
    "db": Listed("db", "Change or check the schema of the database"),
    "plan": Listed("plan", "Plan files, on the server at FLAGSCHED_URL"),
    "hold": Listed("holds", "Hold the flag KEY"),
    "release": Listed("holds", "Release the flag KEY"),
    "freeze": Listed("holds", "Freeze the environment NAME"),
    "thaw": Listed("holds", "Release the environment NAME"),
    "undo": Listed("undo", "Undo the newest change of the flag KEY"),
}


class Commands(click.Group):
    """Knows its commands by name, and loads the one that is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order of the help."""
        del ctx
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(
            import_module(f"flagsched.bootstrap.commands.{COMMANDS[cmd_name].module}"), cmd_name
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List them without loading any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, f"{one.summary}.") for name, one in COMMANDS.items()])


@click.command(cls=Commands)
@click.version_option(__version__)
def flagsched() -> None:
    """Plan feature-flag changes: on time, in order, exactly once."""


def main() -> None:
    """Run the command that the arguments name; exit code 2 for bad settings, 1 for other errors."""
    try:
        flagsched()
    except FileRefused as error:
        sys.exit(str(error))
    except (BadSettings, ServerFailed) as error:
        print(f"flagsched: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, BadSettings) else 1)
