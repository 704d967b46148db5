"""The docs name what there is, and nothing else."""

import ast
import re
import socket
from collections.abc import Iterator
from configparser import ConfigParser
from http import HTTPStatus

import click
import pytest

import dev
from flagsched.bootstrap.cli import COMMANDS as LISTED
from flagsched.bootstrap.cli import flagsched
from flagsched.config.environment import SETTINGS
from flagsched.database.doctor import DUE
from flagsched.database.invariants import INVARIANTS
from flagsched.domain import errors
from flagsched.domain.errors import FlagschedError, Refused
from flagsched.web.errors import NAMES, STATUS
from tests.docs import (
    PAGES,
    ROOT,
    anchors,
    code,
    defined,
    examples,
    first_cells,
    links,
    logged,
    quoted,
    rows,
    sections,
    strings,
    text,
)

OPERATIONS = "docs/operations.md"
SETTINGS_FILES = ("flagsched/config/*.py",)
CAPITALS = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
ONE_WORD = {"HOST", "PORT"}
OF_LIBRARIES = {"HTTPS_PROXY", "SSL_CERT_FILE", *dir(socket)}
"""What is read or named by libraries, and not by flagsched itself."""


def family(error: type[FlagschedError]) -> Iterator[type[FlagschedError]]:
    yield error
    for child in error.__subclasses__():
        yield from family(child)


def named_in_tables(path: str, pattern: str) -> set[str]:
    rows = [line for line in text(path).splitlines() if line.startswith("|")]
    return {name for row in rows for name in re.findall(pattern, row)}


def read_settings() -> set[str]:
    return {name for name in strings(*SETTINGS_FILES) if CAPITALS.fullmatch(name) or name in ONE_WORD}


def test_every_setting_is_documented_and_every_documented_one_is_read() -> None:
    documented = [name for cell in first_cells(OPERATIONS, "variable") for name in quoted(cell)]

    assert len(documented) > 20
    assert sorted(documented) == sorted(read_settings())
    assert {name for name in documented if name.startswith("FLAGSCHED_")} == SETTINGS


@pytest.mark.parametrize("page", sorted(set(PAGES) - {"CONTRIBUTING.md"}))
def test_a_setting_or_code_that_a_page_names_exists(page: str) -> None:
    statuses = {status.name for status in HTTPStatus} | set(NAMES.values())
    known = strings("flagsched/**/*.py", "gunicorn.conf.py") | statuses

    named = {name for name in quoted(text(page)) if CAPITALS.fullmatch(name)}

    assert named - known - OF_LIBRARIES == set()


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    missing = [file for file, _ in links(page) if not (ROOT / file).exists()]
    lost = [(file, a) for file, a in links(page) if a and file.endswith(".md") and a not in anchors(file)]

    assert (missing, lost) == ([], [])


@pytest.mark.parametrize("page", sorted(set(PAGES) - {"CHANGELOG.md"}))
def test_every_file_that_a_page_names_exists(page: str) -> None:
    named = re.findall(r"(?<![/\w])(?:docs|tests|benchmarks|migrations|flagsched)/[\w./-]+\.\w+", text(page))

    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_event_of_the_log_is_documented_and_every_documented_one_is_logged() -> None:
    events = list(logged())
    assert [ast.unparse(event) for event in events if not isinstance(event, ast.Constant)] == []
    written = {event.value for event in events if isinstance(event, ast.Constant)}

    listed = {name for cell in first_cells(OPERATIONS, "event") for name in quoted(cell)}

    assert len(written) > 15
    assert listed - written == set()
    assert written - set(quoted(text(OPERATIONS))) == set()


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Each command with its whole name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def options(command: click.Command) -> set[str]:
    return {o for one in command.params if isinstance(one, click.Option) for o in one.opts if o.startswith("--")}


def named_options(line: str) -> set[str]:
    """The options of a line as one would type it, without what is said about it further to the right."""
    return set(re.findall(r"--[a-z-]+", line.partition("  ")[0]))


COMMANDS = dict(commands(flagsched, "flagsched"))


def test_the_help_lists_each_command_with_what_its_own_help_begins_with() -> None:
    context = click.Context(flagsched)

    for name, listed in LISTED.items():
        command = flagsched.get_command(context, name)
        assert command is not None
        assert (command.help or "").startswith(listed.summary), name


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_documented_with_all_of_its_options(name: str) -> None:
    (block,) = [block for block in examples(OPERATIONS) if block.startswith("flagsched token")]

    (line,) = [line for line in block.splitlines() if re.match(rf"{name}\b", line)]

    assert named_options(line) >= options(COMMANDS[name])


@pytest.mark.parametrize("page", PAGES)
def test_a_command_that_a_page_names_exists(page: str) -> None:
    named = [one for one in quoted(text(page)) if re.match(r"flagsched [a-z]", one)]
    named += re.findall(r"^(?:python -m )?(flagsched [a-z].*)$", "\n".join(examples(page)), flags=re.MULTILINE)
    named = [one for one in named if not one.startswith("flagsched is at")]

    for one in named:
        command = next((found for name, found in COMMANDS.items() if re.match(rf"{name}\b", one)), None)
        assert command or one == "flagsched db", one
        assert command is None or named_options(one) <= options(command), one


def test_the_example_of_the_doctor_is_one_of_its_checks() -> None:
    (check,) = re.findall(r"^    WRONG (.*): not so for 1$", text(OPERATIONS), flags=re.MULTILINE)

    assert check in {DUE, *INVARIANTS}


def test_every_command_of_dev_py_is_in_contributing() -> None:
    named = set(re.findall(r"python3 dev\.py (\w+)", text("CONTRIBUTING.md") + text("README.md")))

    assert named == set(dev.COMMANDS)


def test_every_error_code_is_documented() -> None:
    codes = {error.code for error in family(FlagschedError)}

    assert codes <= named_in_tables("docs/api.md", r"`([A-Z][A-Za-z_ ]+)`")


def test_every_error_has_the_status_that_its_module_draws() -> None:
    for error in family(FlagschedError):
        status = next(STATUS[kind] for kind in error.__mro__ if kind in STATUS)
        if error is not Refused:
            assert (status >= 500) == (not issubclass(error, Refused)), error
        assert status != 500 or error in {FlagschedError, Refused}, error


def test_every_error_stands_in_the_tree_that_its_module_draws() -> None:
    drawn = {}
    branch = {-1: "FlagschedError"}
    for stem, name in re.findall(r"^([│ ]*)[├└]── (\w+)", errors.__doc__ or "", flags=re.MULTILINE):
        drawn[name] = branch[len(stem) // 4 - 1]
        branch[len(stem) // 4] = name

    bases = {error.__name__: error.__bases__[0].__name__ for error in family(FlagschedError)}
    assert drawn | {"FlagschedError": "Exception"} == bases


PROMISES = sections("docs/promises.md", "###")
HELD_BY = re.compile(r"^- `(tests/[\w/]+\.py)::(\w+)`$", flags=re.MULTILINE)


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_is_held_by_tests_that_exist(promise: str) -> None:
    bullets = [line for line in PROMISES[promise].splitlines() if line.startswith("- ")]
    held_by = HELD_BY.findall(PROMISES[promise])

    assert held_by
    assert len(held_by) == len(bullets) == len(set(held_by))
    assert [(file, test) for file, test in held_by if test not in defined(file) or not test.startswith("test_")] == []


def test_every_promise_has_a_heading() -> None:
    assert len(PROMISES) > 25


def in_code(path: str) -> str:
    """A path of docs/glossary.md as one from the root."""
    return path if path.startswith("tests/") else f"flagsched/{path}"


GLOSSARY = {word.strip("*"): code for word, _, code, _ in rows("docs/glossary.md", "word")}
PLACE = re.compile(r"`([\w.]+)` in\s+`([\w/]+\.py)`")


def wrong_places(written: str) -> list[tuple[str, str]]:
    """The names in this text that are not in the file where it says they are."""
    return [(name, path) for name, path in PLACE.findall(written) if name not in defined(in_code(path))]


@pytest.mark.parametrize("word", GLOSSARY)
def test_a_word_of_the_glossary_is_where_the_glossary_says(word: str) -> None:
    assert PLACE.findall(GLOSSARY[word])
    assert wrong_places(GLOSSARY[word]) == []


def test_contributing_names_places_that_exist() -> None:
    written = text("CONTRIBUTING.md")
    modules = {name for name in quoted(written) if name.endswith(".py")}

    assert len(PLACE.findall(written)) > 40
    assert wrong_places(written) == []
    assert [name for name in modules if not ((ROOT / name).is_file() or (ROOT / in_code(name)).is_file())] == []


def test_every_module_and_class_that_the_glossary_names_exists() -> None:
    assert len(GLOSSARY) > 40
    names = quoted(text("docs/glossary.md"))
    classes = {node.name for node in code("flagsched/**/*.py", "tests/**/*.py") if isinstance(node, ast.ClassDef)}

    modules = [in_code(name) for name in names if name.endswith(".py")]
    assert [path for path in modules if not (ROOT / path).is_file()] == []
    assert {name for name in names if re.fullmatch(r"(?:[A-Z]+[a-z]+)+", name)} - classes == set()


def test_every_dependency_says_what_it_replaces() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = setup["options"]["install_requires"].split("\n") + setup["options.extras_require"]["dev"].split("\n")
    names = {re.split("[<>=]", line)[0] for line in required if line}

    missing = {name for name in names if name not in text("docs/dependencies.md") and not name.startswith("types-")}

    assert missing == set()
