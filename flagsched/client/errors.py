"""Why a file could not be read, or a server did not do what it was asked, as a person at a terminal reads it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str, ...]
"""Where something stands in a file: names of fields, and indices of lists, as text."""
MAX_REASONS = 20


class ClientError(Exception):
    """The message is for a person, and may have several lines."""


class FileRefused(ClientError):
    """A file is at fault: each reason begins with the file's name."""

    def __init__(self, source: str, reasons: Sequence[str]) -> None:
        lines = [f"{source}: {reason}" for reason in reasons[:MAX_REASONS]]
        if len(reasons) > MAX_REASONS:
            lines.append(f"{source}: and {len(reasons) - MAX_REASONS} more")
        super().__init__(printable("\n".join(lines)))


class ServerFailed(ClientError):
    """The server could not be asked, or did not do what it was asked."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class Refused(ClientError):
    """The server refuses what it was asked: `details` is its tree of reasons, or None if the message says it all."""

    def __init__(self, message: str, details: Any) -> None:
        super().__init__(message)
        self.details = details

    def told(self) -> str:
        """The message and all reasons, in a line."""
        reasons = [f"{shown(path)}: {why}" for path, why in flattened(self.details)] if self.details else []
        return printable(" - ".join([str(self), *reasons]))


def flattened(details: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The reasons in a server's tree of details, each with its path."""
    match details:
        case Mapping():
            for name, below in details.items():
                yield from flattened(below, (*path, str(name)))
        case list():
            yield from ((path, str(reason)) for reason in details)
        case _:
            yield path, str(details)


def shown(path: Path) -> str:
    """A path as JavaScript would write it: `steps[2].after`."""
    return "".join(f"[{part}]" if part.isdecimal() else f".{part}" for part in path).removeprefix(".")


def printable(text: str) -> str:
    """Text without anything that moves a terminal's cursor or can't be written: such characters are escaped."""
    return "".join(
        one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode("ascii") for one in text
    )
