"""gunicorn's settings, from the variables that hosts set."""

import os

bind = f"{os.environ.get('HOST', '0.0.0.0')}:{os.environ.get('PORT', '8000')}"  # noqa: S104 - a router stands before it
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "gthread"
threads = int(os.environ.get("FLAGSCHED_THREADS", "8"))
timeout = 30
graceful_timeout = 10
keepalive = 5
max_requests_jitter = 0
limit_request_line = 8190
control_socket_disable = True
accesslog = None
