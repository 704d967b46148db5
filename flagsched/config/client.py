"""The settings of commands that ask a server: where it is, and the token for it."""

import re

from marshmallow import ValidationError

from flagsched.client.server import Server, refuse_bad_url
from flagsched.config.environment import env, refused_by

# Source: RFC 6750, section 2.1.
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def read_server() -> Server:
    """Read which server is asked; BadSettings."""
    return Server(
        url=env.str("FLAGSCHED_URL", validate=refused_by(refuse_bad_url)).rstrip("/"),
        token=env.str("FLAGSCHED_TOKEN", validate=_refuse_bad_token),
    )


def _refuse_bad_token(token: str) -> None:
    if not TOKEN.fullmatch(token):
        raise ValidationError("must be a token as 'flagsched token' prints it")
