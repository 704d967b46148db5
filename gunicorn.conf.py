"""gunicorn's settings, from the variables that hosts set."""

import sys

from flagsched.bootstrap.gunicorn_conf import *  # noqa: F403 - all of them
from flagsched.config.environment import BadSettings
from flagsched.config.settings import read_server_settings

try:
    server = read_server_settings()
except BadSettings as error:
    sys.exit(str(error))

bind = server.bind
workers = server.workers
threads = server.threads
