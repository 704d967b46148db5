"""Plan files: what the plan of a name is to be, in YAML or JSON."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path as FilePath
from typing import Any

from flagsched.client.errors import FileRefused, Path, flattened, shown
from flagsched.client.strict_json import parse_json
from flagsched.client.strict_yaml import Document, parse_yaml

STDIN = "-"
MAX_BYTES = 256 * 1024
"""As much as the server accepts of a body."""
PLAN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NAME_NEEDED = "is required: by it the plan is found again when the file is applied once more"
NAME_MESSAGE = "must be 1 to 100 letters, digits, '.', '_', '-', beginning with a letter or digit"
NOT_A_PLAN = "must have the fields of a plan at its top: 'name', and 'flags' with 'steps', or 'changes'"


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan as a file has it; `body` is what the server is sent, `lines` says where each field stands."""

    source: str
    name: str
    body: Mapping[str, Any]
    lines: Mapping[Path, int]

    def refused(self, message: str, details: Any) -> FileRefused:
        """The server's refusal, with the place of each reason."""
        if not details:
            return FileRefused(self.source, [message])
        told = [(self._line(path), path, reason) for path, reason in flattened(details)]
        return FileRefused(self.source, [_reason(*one) for one in sorted(told, key=itemgetter(0))])

    def _line(self, path: Path) -> int:
        """Of a field, or else of what it is in; 0 if that is not known."""
        above = (path[:n] for n in range(len(path), 0, -1))
        return next((self.lines[one] for one in above if one in self.lines), 0)


def read_plan_file(path: str) -> PlanFile:
    """Read the file at `path`, or stdin for '-'; FileRefused."""
    source = "stdin" if path == STDIN else path
    try:
        return _plan(source, _parse(path, _text(_read(path))))
    except ValueError as error:
        raise FileRefused(source, [str(error)]) from error
    except OSError as error:
        raise FileRefused(source, [f"can't be read: {error.strerror}"]) from error


def _reason(line: int, path: Path, reason: str) -> str:
    place = f"{shown(path)}: " if path else ""
    return f"{place}{reason}{f' (line {line})' if line else ''}"


def _read(path: str) -> bytes:
    if path == STDIN:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with FilePath(path).open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _text(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line}: is not UTF-8") from error


def _parse(path: str, text: str) -> Document:
    if path.lower().endswith(".json") or (path == STDIN and text.lstrip().startswith("{")):
        return Document(parse_json(text), {})
    return parse_yaml(text)


def _plan(source: str, document: Document) -> PlanFile:
    if not isinstance(document.value, dict):
        raise ValueError(NOT_A_PLAN)  # noqa: TRY004 - of the file's content
    body = dict(document.value)
    name = body.pop("name", None)
    if name is None:
        raise ValueError(f"name: {NAME_NEEDED}")
    if not isinstance(name, str) or not PLAN_NAME.fullmatch(name):
        raise ValueError(f"name: {NAME_MESSAGE}")
    return PlanFile(source, name, body, document.lines)
