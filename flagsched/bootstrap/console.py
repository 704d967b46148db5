"""Log lines for people: what `flagsched run` shows on a terminal of the JSON that its processes log."""

import json
from typing import Any

from honcho.printer import Message, Printer
from structlog.dev import Column, ConsoleRenderer, KeyValueColumnFormatter

BARE = ("method", "route", "status")
"""Fields whose value says what it is."""
LEFT_OUT = {"logger", "timestamp"}
"""The prefix of each line says which process it is, and when."""
TRACEBACK = "exception"


class ConsolePrinter(Printer):  # type: ignore[misc]
    """honcho's printer, for a terminal. What comes out of a process has no secrets, since it was logged without."""

    def __init__(self) -> None:
        super().__init__()
        self._render = _renderer()

    def write(self, message: Message) -> None:
        """Show a line; one that was not logged is shown as it is."""
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
    bare = KeyValueColumnFormatter(None, styles.kv_value, styles.reset, value_repr=str)
    renderer.columns = [*renderer.columns, *(Column(name, bare) for name in BARE)]
    return renderer


def _fields(logged: dict[str, Any]) -> dict[str, Any]:
    # The id of a request would make its line too long; whatever goes wrong with it has a line with the id.
    left_out = LEFT_OUT | ({"request_id"} if logged.get("event") == "request" else set())
    return {
        name: _visible(value, but="\n" if name == TRACEBACK else "")
        for name, value in logged.items()
        if name not in left_out and value is not None
    }


def _visible(value: Any, *, but: str) -> Any:
    """Text with each control character escaped again, as it was in the JSON, so that no terminal obeys it."""
    if not isinstance(value, str):
        return value
    return "".join(c if c.isprintable() or c in but else c.encode("unicode_escape").decode() for c in value)
