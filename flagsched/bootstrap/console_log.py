"""Readable log lines: `flagsched run` prints them on a terminal instead of the JSON of its processes."""

import json
from typing import Any

from honcho.printer import Message, Printer
from structlog.dev import Column, ConsoleRenderer, KeyValueColumnFormatter

UNNAMED = ("method", "route", "status")
"""Fields that are printed without their name."""
OMITTED = {"logger", "timestamp"}
"""The prefix of each line has the process and the time."""
TRACEBACK = "exception"


class ConsolePrinter(Printer):  # type: ignore[misc]
    """honcho's printer, for a terminal. The processes have removed the secrets from their lines already."""

    def __init__(self) -> None:
        super().__init__()
        self._render = _renderer()

    def write(self, message: Message) -> None:
        """Print a log line readably, and any other line as it is."""
        match _read(message.data):
            case {"event": str(), "level": str()} as logged:
                message = message._replace(data=self._render(None, "", _fields(logged)))
        super().write(message)


def _read(line: bytes | str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _renderer() -> ConsoleRenderer:
    renderer = ConsoleRenderer(colors=True, sort_keys=False, pad_event_to=0)
    styles = ConsoleRenderer.get_default_column_styles(colors=True)
    unnamed = KeyValueColumnFormatter(None, styles.kv_value, styles.reset, value_repr=str)
    renderer.columns = [*renderer.columns, *(Column(name, unnamed) for name in UNNAMED)]
    return renderer


def _fields(logged: dict[str, Any]) -> dict[str, Any]:
    # Its id would make the line of a request too long; lines about refusals and failures have it.
    omitted = OMITTED | ({"request_id"} if logged.get("event") == "request" else set())
    return {
        name: _visible(value, allowed="\n" if name == TRACEBACK else "")
        for name, value in logged.items()
        if name not in omitted and value is not None
    }


def _visible(value: Any, *, allowed: str) -> Any:
    """Escape control characters again, as in the JSON, so that a caller can't send commands to the terminal."""
    if not isinstance(value, str):
        return value
    return "".join(c if c.isprintable() or c in allowed else c.encode("unicode_escape").decode() for c in value)
