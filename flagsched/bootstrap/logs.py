"""Log lines: one JSON object each, on standard error, from flagsched, from libraries and from gunicorn alike."""

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from flagsched.web.echo import CUT, cut

QUIET = ("alembic", "apscheduler", "werkzeug")
FIRST_LINES, LAST_LINES = 20, 60
"""How much of a long traceback is logged."""
# Tokens, and passwords in URLs and DSNs, also where their end was cut off. Possessive quantifiers (*+) never go back,
# so the time grows with the length of the text alone.
SECRETS = re.compile(rf'eyJ[\w.-]++|://[^/\s:@"]*+:(?:[^/\s"@{CUT}]*+[@{CUT}])++|password=[^\s&"\'{CUT}]++')
REPLACEMENTS = {"e": "[secret]", ":": "://[secret]@", "p": "password=[secret]"}
"""The log's text for a secret, by the secret's first character."""

SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
]


def render(logger: WrappedLogger, name: str, event: EventDict) -> str:
    """One line of JSON: control characters escaped, values cut, secrets removed."""
    line: Any = structlog.processors.JSONRenderer()(logger, name, {key: _cut_value(key, event[key]) for key in event})
    return str(line)


def _cut_value(key: str, value: object) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return _cut_lines(str(value)) if key in {"event", "exception", "stack"} else _cut_text(str(value))


def _cut_lines(text: str) -> str:
    lines = text.split("\n")
    if len(lines) > FIRST_LINES + LAST_LINES:
        lines = [*lines[:FIRST_LINES], CUT, *lines[-LAST_LINES:]]
    return "\n".join(map(_cut_text, lines))


def _cut_text(text: str) -> str:
    # Cut first, so that the search for secrets has little text.
    return SECRETS.sub(lambda match: REPLACEMENTS[match[0][0]], cut(text))


def use_host_logging() -> None:
    """Pass our lines, as JSON without secrets, to the logging of a host that has not configured structlog."""
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
    logging.captureWarnings(capture=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
