"""Log lines: one JSON object each, on standard error, from our own code, from libraries and from gunicorn alike."""

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

QUIET = ("alembic", "apscheduler", "werkzeug")
# Tokens, and passwords in URLs: whatever a message quotes, these do not stand in a log.
SECRETS = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]*|(?<=://)[^/\s:@\"]*:[^/\s@\"]*(?=@)")

SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def render(logger: WrappedLogger, name: str, event: EventDict) -> str:
    """One line of JSON, control characters escaped, without secrets."""
    line: Any = structlog.processors.JSONRenderer(default=str)(logger, name, event)
    return SECRETS.sub("[secret]", line)


def use_host_logging() -> None:
    """In a host that has not configured structlog: give our lines, as JSON without secrets, to its logging."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.filter_by_level,
                structlog.processors.format_exc_info,
                render,
            ],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )


def json_formatter() -> logging.Formatter:
    """A formatter for the standard library's handlers."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=SHARED,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
    )


def configure_logs(level: int) -> None:
    """Send everything from `level` on to standard error."""
    structlog.configure(
        processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(json_formatter())
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
