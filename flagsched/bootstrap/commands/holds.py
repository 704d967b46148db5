"""`flagsched hold`, `release`, `freeze` and `thaw`: for whoever is on call."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import click

from flagsched.bootstrap.commands.server import asked_server
from flagsched.client import holds
from flagsched.client.errors import ServerFailed, printable
from flagsched.client.holds import Asked, PlacedHold, Scope
from flagsched.client.server import Server

AT_END = ("catchUp", "skip")
THEN_HELP = "What becomes of what was planned meanwhile: it takes effect at the end, in order, or is skipped."
HOW = (*AT_END, "shift")
HOW_HELP = "As --then of hold; 'shift' moves it by the hold's length, with all that follows."
DONE = {
    "catchUp": "what was planned meanwhile is in effect",
    "skip": "what was planned meanwhile is skipped",
    "shift": "what was planned from its beginning on has moved by its length",
}


def instant(text: str) -> str:
    """Read an instant, whose seconds may be left out: the server gets it in full."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no instant, as 2027-01-04T08:00+01:00") from error
    if at.tzinfo is None:
        raise click.BadParameter(f"{text!r} has no offset: add Z, or one like +01:00")
    return at.isoformat()


Decorator = Callable[[Any], Any]
environment: Decorator = click.option("--environment", default="production", show_default=True)
reason: Decorator = click.option("--reason", required=True, help="Why, for whoever looks: 1 to 1,000 characters.")
until: Decorator = click.option("--until", type=instant, help="As 2027-01-04T08:00+01:00; else until it is released.")
then: Decorator = click.option("--then", type=click.Choice(AT_END), help=THEN_HELP)
as_json: Decorator = click.option("--json", "as_json", is_flag=True, help="Print the server's answer.")


@click.command()
@click.argument("key")
@environment
@click.option("--off", is_flag=True, help="Turn it off as well, in the same transaction.")
@reason
@until
@then
@as_json
def hold(
    key: str, environment: str, reason: str, until: str | None, then: str | None, *, off: bool, as_json: bool
) -> None:
    """Hold the flag KEY: nothing that is planned for it takes effect until it is released."""
    scope = Scope(environment, key)
    placed = holds.place(asked_server(), scope, Asked(reason, None, until, then, off=off), once=uuid4().hex)
    where = "" if environment == "production" else f" --environment {environment}"
    _print(
        [placed],
        f"{scope.name} is {'off, and ' if off else ''}held {_until(placed)}: nothing planned for it takes effect. "
        f"Release it with: flagsched release {key}{where}",
        as_json=as_json,
    )


@click.command()
@click.argument("key")
@environment
@click.option("--then", type=click.Choice(HOW), help=HOW_HELP)
@as_json
def release(key: str, environment: str, then: str | None, *, as_json: bool) -> None:
    """Release the flag KEY: its own holds end now. Exit code 1 if there are none."""
    server, scope = asked_server(), Scope(environment, key)
    bearing = holds.bearing_on(server, scope)
    own = [one for one in bearing if one.flag_key is not None]
    if not own and bearing:
        raise ServerFailed(
            f"only a hold of all of {environment} bears on {key}: 'flagsched thaw {environment}' releases that, and so "
            "all flags there"
        )
    _release(server, scope, own, then, also=len(bearing) > len(own), as_json=as_json)


@click.command()
@click.argument("name")
@click.option("--from", "starts_at", type=instant, help="As 2026-12-23T18:00+01:00; else now.")
@reason
@until
@then
@as_json
def freeze(
    name: str, starts_at: str | None, reason: str, until: str | None, then: str | None, *, as_json: bool
) -> None:
    """Freeze the environment NAME: nothing planned takes effect in it, and edits by hand are refused."""
    scope = Scope(name)
    asked = Asked(reason, starts_at, until, then, refuses_edits=True)
    placed = holds.place(asked_server(), scope, asked, once=uuid4().hex)
    planned = placed.status == "upcoming"
    since = f"from {placed.starts_at} " if planned else ""
    which = " --planned" if planned else ""
    _print(
        [placed],
        f"{scope.name} is frozen {since}{_until(placed)}: nothing planned takes effect, and edits by hand are refused. "
        f"Its hold is {placed.id}; end it with: flagsched thaw {name}{which}",
        as_json=as_json,
    )


@click.command()
@click.argument("name")
@then
@click.option("--planned", is_flag=True, help="Take back the freezes that have not begun, and no others.")
@as_json
def thaw(name: str, then: str | None, *, planned: bool, as_json: bool) -> None:
    """Release the environment NAME: holds of all of it end now. Exit code 1 if there are none."""
    server, scope = asked_server(), Scope(name)
    upcoming = holds.bearing_on(server, scope, "upcoming")
    found = upcoming if planned else holds.bearing_on(server, scope)
    if upcoming and not found:
        raise ServerFailed(
            f"nothing holds {scope.name} now; it is to be held from {upcoming[0].starts_at}: 'flagsched thaw {name} "
            "--planned' takes that back"
        )
    _release(server, scope, found, then, also=False, as_json=as_json)


def _release(
    server: Server, scope: Scope, found: Sequence[PlacedHold], how: str | None, *, also: bool, as_json: bool
) -> None:
    if not found:
        raise ServerFailed(f"nothing holds {scope.name} now")
    released = [holds.release(server, one, how) for one in found]
    begun = any(one.status == "active" for one in found)
    done = DONE[how or str(released[-1].answer["then"])] if begun else "what was planned to hold it never begins"
    still = f". A hold of all of {scope.environment} bears on it still" if also else ""
    _print(released, f"{scope.name} is released: {done}{still}", as_json=as_json)


def _until(placed: PlacedHold) -> str:
    return f"until {placed.ends_at}" if placed.ends_at else "until it is released"


def _print(found: Sequence[PlacedHold], told: str, *, as_json: bool) -> None:
    click.echo(json.dumps([one.answer for one in found], indent=2) if as_json else printable(told))
