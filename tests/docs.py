"""The docs as tests read them."""

import re
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
INDENTED = re.compile(r"(?:^    .*\n(?:\n(?=    ))*)+", flags=re.MULTILINE)


def text(path: str) -> str:
    return (ROOT / path).read_text()


def examples(path: str) -> list[str]:
    """The indented blocks of a page."""
    return [dedent(block) for block in INDENTED.findall(text(path))]
