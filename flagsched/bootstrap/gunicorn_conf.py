"""gunicorn's settings that hosts do not choose: gunicorn.conf.py and `flagsched run` add the others."""

from typing import Any

# In the master: so all its workers run the same code, also after a HUP, and start quickly.
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
forwarder_headers = ""  # Nobody rewrites a path by a header.
accesslog = None  # The app logs each request, with its id.


def on_starting(server: Any) -> None:
    """Before the first worker."""
    server.__class__ = GaplessArbiter  # gunicorn has no setting for it.
