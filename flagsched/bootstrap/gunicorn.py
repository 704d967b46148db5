"""gunicorn's own log lines, as JSON like all others."""

import sys
from typing import Any

from gunicorn.glogging import Logger

from flagsched.bootstrap.logs import configure_logs


class JsonLogger(Logger):
    """Leaves gunicorn's events to the root logger."""

    def setup(self, cfg: Any) -> None:
        """Before gunicorn's first line."""
        super().setup(cfg)
        configure_logs(self.error_log.getEffectiveLevel())
        self.error_log.handlers.clear()
        self.error_log.propagate = True

    def exception(self, msg: object, *args: object, **options: Any) -> None:
        """A client that sent half a request and then nothing is no fault of ours."""
        if isinstance(sys.exc_info()[1], (BlockingIOError, TimeoutError)):
            self.info("client gave up within its request")
        else:
            super().exception(msg, *args, **options)
