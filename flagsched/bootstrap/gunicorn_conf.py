"""gunicorn's fixed settings; gunicorn.conf.py and `flagsched run` add those that operators choose."""

from typing import Any

# Imported in the master, so that all workers run the same code, also after a HUP, and start quickly.
import flagsched.bootstrap.web  # noqa: F401
from flagsched.bootstrap.arbiter import GaplessArbiter

worker_class = "flagsched.web.gunicorn.worker.JsonWorker"
logger_class = "flagsched.bootstrap.gunicorn.JsonLogger"
threads = 8
timeout = 30
graceful_timeout = 10
keepalive = 5
limit_request_line = 8190
control_socket_disable = True
forwarder_headers = ""  # No header rewrites a path.
accesslog = None  # The app logs each request, with its id.


def on_starting(server: Any) -> None:
    """Before the first worker."""
    server.__class__ = GaplessArbiter  # gunicorn has no setting for it.
