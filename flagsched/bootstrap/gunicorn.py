"""gunicorn's own log lines, as JSON like all others, and without a word of what clients sent."""

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
        self.error_log.filters = [keep_unquoted]
        self.error_log.propagate = True

    def exception(self, msg: object, *args: object, **options: Any) -> None:
        """Log a fault with its traceback; a client that stopped reading or sending is none of ours."""
        if isinstance(sys.exc_info()[1], (BlockingIOError, TimeoutError)):
            self.info("client gave up within its request")
        else:
            super().exception(msg, *args, **options)


def keep_unquoted(record: logging.LogRecord) -> bool:
    """Name errors of gunicorn's parser by their kind alone: their text quotes what the client sent."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            type(given).__name__ if isinstance(given, (ParseException, NoMoreData)) else given for given in record.args
        )
    # gunicorn's dump of its settings shows the values of raw_env.
    return not str(record.msg).startswith("Current configuration")
