"""gunicorn's settings, from the variables that hosts set."""

import os
import sys

from flagsched.bootstrap.gunicorn_conf import *  # noqa: F403 - all of them


def number(name: str, default: int) -> int:
    """Read a whole number from the environment, or end with a message that names it."""
    text = os.environ.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        sys.exit(f'Environment variable "{name}" invalid: not a whole number from 1 on')
    return int(text)


bind = f"{os.environ.get('HOST', '0.0.0.0')}:{number('PORT', 8000)}"  # noqa: S104 - a router stands before it
workers = number("WEB_CONCURRENCY", 2)
threads = number("FLAGSCHED_THREADS", 8)
