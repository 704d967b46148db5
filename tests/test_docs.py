"""The docs name what there is, and nothing else."""

import re
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path

from flagsched.config import KNOWN
from flagsched.domain import errors
from flagsched.domain.errors import FlagschedError, Refused
from flagsched.web.errors import STATUS

ROOT = Path(__file__).parents[1]


def text(path: str) -> str:
    return (ROOT / path).read_text()


def family(error: type[FlagschedError]) -> Iterator[type[FlagschedError]]:
    yield error
    for child in error.__subclasses__():
        yield from family(child)


def named_in_tables(path: str, pattern: str) -> set[str]:
    rows = [line for line in text(path).splitlines() if line.startswith("|")]
    return {name for row in rows for name in re.findall(pattern, row)}


def test_every_setting_is_documented_and_every_documented_one_is_read() -> None:
    code = text("flagsched/config.py") + text("flagsched/variables.py")
    read = set(re.findall(r'"((?:FLAGSCHED_|FLASK_|JWT_|DATABASE_|WEB_)[A-Z_]+|HOST|PORT)"', code.replace("'", '"')))

    documented = named_in_tables("docs/operations.md", r"`([A-Z][A-Z_]+)`") - {"DEBUG", "INFO", "WARNING", "ERROR"}

    assert documented - {"SCHEMA_OUTDATED"} == read
    assert {name for name in documented if name.startswith("FLAGSCHED_")} == KNOWN


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


def named_tests() -> Iterator[tuple[str, str]]:
    """The file and the name of each test that docs/promises.md names; `…` stands for the file named before."""
    for row in text("docs/promises.md").splitlines():
        file = ""
        for path, test in re.findall(r"`(…|[\w/]+\.py)(?:::(\w+))?`", row):
            file = file if path == "…" else path
            yield file, test


def test_every_promise_names_tests_that_exist() -> None:
    named = list(named_tests())

    assert len(named) > 25
    assert [(file, test) for file, test in named if f"def {test}" not in text(f"tests/{file}")] == []


def test_every_dependency_says_what_it_replaces() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = setup["options"]["install_requires"].split("\n") + setup["options.extras_require"]["dev"].split("\n")
    names = {re.split("[<>=]", line)[0] for line in required if line}

    missing = {name for name in names if name not in text("docs/dependencies.md") and not name.startswith("types-")}

    assert missing == set()
