"""How a command that uses the database fails: in a line on stderr, with exit code 1."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click
import sqlalchemy as sa
from alembic.util import CommandError

from flagsched.database.connections.primary import NotPrimary

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Failed(click.ClickException):
    """The message is for a person."""

    def show(self, file: object = None) -> None:
        """Print it."""
        del file
        click.echo(f"flagsched: {self.message}", err=True)


def fails_in_a_line(command: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Have a command fail without a traceback where the database is at fault."""

    @wraps(command)
    def told(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        try:
            return command(*arguments, **options)
        except (sa.exc.SQLAlchemyError, NotPrimary, CommandError) as error:
            raise Failed(str(error)) from error

    return told
