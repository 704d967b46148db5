"""The docs, and the code beside them, as tests read them."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/*.md"))
)
INDENTED = re.compile(r"(?:^    .*\n(?:\n(?=    ))*)+", flags=re.MULTILINE)
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
SEPARATOR = re.compile(r"(?<!\\)\|")


def text(path: str) -> str:
    return (ROOT / path).read_text()


def examples(path: str) -> list[str]:
    """The indented blocks of a page."""
    return [dedent(block) for block in INDENTED.findall(text(path))]


def prose(path: str) -> str:
    """A page without its indented blocks."""
    return INDENTED.sub("", text(path))


def quoted(written: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`\n]+)`", written)


def anchors(path: str) -> set[str]:
    """What may follow `#` in a link to a page, as GitHub makes it of the headings."""
    titles = re.findall(r"^#+ (.*)$", prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(path: str) -> Iterator[tuple[str, str]]:
    """The page or file that each link of a page leads to, and the place in it; those to elsewhere are left out."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            leads_to = ((ROOT / path).parent / file).resolve() if file else ROOT / path
            yield str(leads_to.relative_to(ROOT)), anchor


def rows(path: str, header: str) -> list[list[str]]:
    """The cells of each row of a page's tables whose first column has this header."""
    found, inside = [], False
    for line in text(path).splitlines():
        _, *cells = [cell.strip() for cell in SEPARATOR.split(line)]
        inside = len(cells) > 1 and (inside or cells[0] == header)
        if inside and cells[0] != header and set(cells[0]) != {"-"}:
            found.append(cells)
    return found


def first_cells(path: str, header: str) -> list[str]:
    """The first cell of each of these rows."""
    return [first for first, *_ in rows(path, header)]


@cache
def code(*patterns: str) -> list[ast.AST]:
    """All that is written in these files of the product."""
    files = [path for pattern in patterns for path in ROOT.glob(pattern)]
    return [node for path in files for node in ast.walk(ast.parse(path.read_text()))]


def strings(*patterns: str) -> set[str]:
    """The string literals in these files of the product."""
    return {n.value for n in code(*patterns) if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def sections(path: str, level: str) -> dict[str, str]:
    """What stands under each heading of this level, such as `###`, up to the next heading of any level."""
    found = re.findall(r"^(#+) (.*)\n((?:(?!#).*\n)*)", text(path), flags=re.MULTILINE)
    return {title: body for mark, title, body in found if mark == level}


@cache
def defined(path: str) -> frozenset[str]:
    """What a Python file defines at its top: functions, classes with their members, and constants."""
    names: set[str] = set()
    for node in ast.parse(text(path)).body:
        own = _names(node)
        names |= own
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{name}" for member in node.body for name in _names(member)}
    return frozenset(names)


def _names(node: ast.stmt) -> set[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return set()


def logged() -> Iterator[ast.expr]:
    """The event of each log line that the product writes, by structlog or as gunicorn's logger."""
    for node in code("flagsched/**/*.py"):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("log"), attr="log"), args=[_, event, *_]):
                yield event
            case ast.Call(func=ast.Attribute(value=ast.Name("log" | "self"), attr=attr), args=[event, *_]) if (
                attr in LEVELS
            ):
                yield event
