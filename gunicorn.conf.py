"""gunicorn's settings, from the variables that hosts set."""

import os
import sys


def number(name: str, default: int) -> int:
    """Read a whole number from the environment, or end with a message that names it."""
    text = os.environ.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        sys.exit(f'Environment variable "{name}" invalid: not a whole number from 1 on')
    return int(text)


bind = f"{os.environ.get('HOST', '0.0.0.0')}:{number('PORT', 8000)}"  # noqa: S104 - a router stands before it
workers = number("WEB_CONCURRENCY", 2)
worker_class = "flagsched.web.server.JsonWorker"
threads = number("FLAGSCHED_THREADS", 8)
timeout = 30
graceful_timeout = 10
keepalive = 5
limit_request_line = 8190
control_socket_disable = True
forwarder_headers = ""  # Nobody rewrites a path by a header.
accesslog = None  # The app logs each request, with its id.
logger_class = "flagsched.bootstrap.gunicorn.JsonLogger"
