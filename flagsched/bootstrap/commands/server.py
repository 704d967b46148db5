"""The server that a command asks."""

import sys

import click

from flagsched.client.server import Server
from flagsched.config.client import read_server
from flagsched.config.environment import BadSettings


def asked_server() -> Server:
    """The server of FLAGSCHED_URL; warns if the token is sent there as it is. Exits with 1 for bad settings."""
    try:
        server = read_server()
    except BadSettings as error:
        sys.exit(f"flagsched: {error}")  # With 1: a command may have another meaning for 2.
    if server.is_plain:
        click.echo("flagsched: FLAGSCHED_URL is not https: the token is sent to another machine unencrypted", err=True)
    return server
