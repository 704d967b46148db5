"""gunicorn's settings, from the variables that hosts set."""

import os
import sys

from flagsched.variables import server_settings

try:
    server = server_settings(os.environ)
except ValueError as error:
    sys.exit(str(error))

bind = server.bind
workers = server.workers
worker_class = "flagsched.web.server.JsonWorker"
threads = server.threads
timeout = 30
graceful_timeout = 10
keepalive = 5
limit_request_line = 8190
control_socket_disable = True
forwarder_headers = ""  # Nobody rewrites a path by a header.
accesslog = None  # The app logs each request, with its id.
logger_class = "flagsched.bootstrap.gunicorn.JsonLogger"
