"""gunicorn's own log lines, as JSON like all others, and without anything that clients sent."""

import logging
import sys
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.http.errors import NoMoreData, ParseException

from flagsched.bootstrap.logs import configure_logs


class JsonLogger(Logger):
    """Leaves gunicorn's events to the root logger."""

    def setup(self, cfg: Any) -> None:
        """Before gunicorn's first line, and after each HUP."""
        super().setup(cfg)
        configure_logs(self.error_log.getEffectiveLevel())
        self.error_log.handlers.clear()
        self.error_log.filters = [remove_quotes]
        self.error_log.propagate = True

    def exception(self, msg: object, *args: object, **options: Any) -> None:
        """Log a fault with its traceback, unless the client stopped reading or sending."""
        if isinstance(sys.exc_info()[1], (BlockingIOError, TimeoutError)):
            self.info("client gave up within its request")
        else:
            super().exception(msg, *args, **options)


def remove_quotes(record: logging.LogRecord) -> bool:
    """Name an error of gunicorn's parser by its class alone: its text quotes what the client sent."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            type(value).__name__ if isinstance(value, (ParseException, NoMoreData)) else value for value in record.args
        )
    # gunicorn's dump of its settings shows the values of raw_env.
    return not str(record.msg).startswith("Current configuration")
