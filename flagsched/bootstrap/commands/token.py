"""`flagsched token`: a JWT, signed with this server's key."""

import sys
from datetime import timedelta

import click

from flagsched.bootstrap.web import create_app
from flagsched.config.instance import use_saved_secret
from flagsched.config.settings import read_web_settings
from flagsched.web.auth import SUBJECT, make_token
from flagsched.web.roles import Role
from flagsched.web.tokens.claims import HS256, MAX_LIFE

ROLE_HELP = (
    "The role that it holds: 'viewer' reads and previews, 'operator' also holds and releases, 'admin' does everything. "
    "Any other opens nothing under /api/admin."
)
HOURS = click.IntRange(1, MAX_LIFE // timedelta(hours=1))


@click.command()
@click.option("--subject", required=True, help="The token's subject: the actor in the history.")
@click.option("--role", default=Role.ADMIN.value, show_default=True, help=ROLE_HELP)
@click.option("--hours", default=1, show_default=True, type=HOURS, help="How long it is valid.")
def token(subject: str, role: str, hours: int) -> None:
    """Print a JWT, signed with JWT_SECRET_KEY or, without it, with the key that 'flagsched run' made in this folder."""
    click.echo(signed_token(subject, role, timedelta(hours=hours)))


def signed_token(subject: str, role: str, life: timedelta) -> str:
    """A token for `subject`; exits with a message if this server can't make it."""
    if not SUBJECT.fullmatch(subject):
        sys.exit("flagsched token: --subject must be 1 to 200 printable characters")
    use_saved_secret()
    settings = read_web_settings()
    if settings.tokens.algorithm != HS256:
        sys.exit("flagsched token: with JWT_ALGORITHM=RS256, tokens come from the identity provider")
    with create_app(settings).app_context():
        return make_token(subject, role, life)
