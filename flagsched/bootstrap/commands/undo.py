"""`flagsched undo`."""

import json
from uuid import uuid4

import click

from flagsched.bootstrap.commands.server import asked_server
from flagsched.client import undo as history
from flagsched.client.errors import printable
from flagsched.client.holds import Scope


@click.command()
@click.argument("key")
@click.option("--environment", default="production", show_default=True)
@click.option("--entry", "entry_id", type=click.IntRange(1), help="The number of the entry; else the newest.")
@click.option("--force", is_flag=True, help="Set it back also where it was changed since.")
@click.option("--despite-freeze", "despite", metavar="REASON", help="Why, while the environment is frozen.")
@click.option("--json", "as_json", is_flag=True, help="Print the server's answer.")
def undo(key: str, environment: str, entry_id: int | None, despite: str | None, *, force: bool, as_json: bool) -> None:
    """Undo the newest change of the flag KEY: set back what it changed, unless that was changed since."""
    server, scope = asked_server(), Scope(environment, key)
    undoes = entry_id or history.newest(server, scope).id
    done = history.undo(server, scope, undoes, force=force, despite=despite, once=uuid4().hex)
    told = f"{scope.name}: entry {undoes} is undone by entry {done.id}, {done.action}: {done.changes}"
    click.echo(json.dumps(done.answer, indent=2) if as_json else printable(told))
