"""gunicorn's settings, from the variables that hosts set."""

import os
import sys

from flagsched.bootstrap.gunicorn_conf import *  # noqa: F403 - all of them
from flagsched.variables import server_settings

try:
    server = server_settings(os.environ)
except ValueError as error:
    sys.exit(str(error))

bind = server.bind
workers = server.workers
threads = server.threads
