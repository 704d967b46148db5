"""`flagsched token`: a JWT, signed with this server's key."""

import os
import sys
from datetime import timedelta
from urllib.parse import urlencode

import click
from flask import Flask

from flagsched.bootstrap.web import create_app
from flagsched.config.instance import use_saved_secret
from flagsched.config.settings import read_web_settings
from flagsched.web.auth import SUBJECT, make_token
from flagsched.web.console.door import make_link
from flagsched.web.roles import Role
from flagsched.web.tokens.claims import HS256, MAX_LIFE

ROLE_HELP = (
    "The role that it holds: 'viewer' reads and previews, 'operator' also holds and releases, 'admin' does everything. "
    "Any other opens nothing under /api/admin."
)
LOCAL_URL = "http://127.0.0.1:8000"
HOURS = click.IntRange(1, MAX_LIFE // timedelta(hours=1))


@click.command()
@click.option("--subject", required=True, help="The token's subject: the actor in the history.")
@click.option("--role", default=Role.ADMIN.value, show_default=True, help=ROLE_HELP)
@click.option("--hours", default=1, show_default=True, type=HOURS, help="How long it is valid.")
@click.option(
    "--link", is_flag=True, help="Print a link instead, which signs in to the console once, within 10 minutes."
)
def token(subject: str, role: str, hours: int, *, link: bool) -> None:
    """Print a JWT, signed with JWT_SECRET_KEY or, without it, with the key that 'flagsched run' made in this folder.

    A link is to the server at FLAGSCHED_URL, or else to the one that 'flagsched run' starts.
    """
    if link:
        click.echo(sign_in_link(os.environ.get("FLAGSCHED_URL") or LOCAL_URL, subject, role))
    else:
        click.echo(signed_token(subject, role, timedelta(hours=hours)))


def signed_token(subject: str, role: str, life: timedelta) -> str:
    """A token for `subject`; exits with a message if this server can't make it."""
    with _signing_app(subject).app_context():
        return make_token(subject, role, life)


def sign_in_link(url: str, subject: str, role: str) -> str:
    """A link by which `subject` signs in to the console of the server at `url`, once; exits as `signed_token` does."""
    with _signing_app(subject).app_context():
        return f"{url.rstrip('/')}/console/sign-in?{urlencode({'link': make_link(subject, role)})}"


def _signing_app(subject: str) -> Flask:
    if not SUBJECT.fullmatch(subject):
        sys.exit("flagsched token: --subject must be 1 to 200 printable characters")
    use_saved_secret()
    settings = read_web_settings()
    if settings.tokens.algorithm != HS256:
        sys.exit("flagsched token: with JWT_ALGORITHM=RS256, tokens come from the identity provider")
    return create_app(settings)
