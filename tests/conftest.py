"""How tests are run: at their short or full size, and with only the services that they need."""

import shutil
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import HealthCheck, settings

FOLDER = Path(__file__).parent
PURE = (FOLDER / "client", FOLDER / "domain", FOLDER / "snapshots")
"""These need neither a database nor a web app, which take longer to load than all their tests to run."""

# How quickly a machine that others use too draws and runs examples is not what is tested.
settings.register_profile("long", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100)
settings.register_profile("short", settings.get_profile("long"), max_examples=20)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run fault tests and generated examples at their full size")
    parser.addoption("--all", action="store_true", help="also run the tests that need what PyPI does not bring")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("long" if config.getoption("--long") else "short")
    if not all(map(_is_pure, config.args)):
        config.pluginmanager.register(import_module("tests.services"))
    if not config.option.basetemp:
        # Each run as root closes /tmp/pytest-of-root to the PostgreSQL servers that other runs have there.
        config.option.basetemp = mkdtemp(prefix="flagsched-")
        config.add_cleanup(partial(shutil.rmtree, config.option.basetemp, ignore_errors=True))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--all"):
        extra = [item for item in items if item.get_closest_marker("extra")]
        items[:] = [item for item in items if item not in extra]
        config.hook.pytest_deselected(items=extra)


def _is_pure(argument: str) -> bool:
    path = Path(argument.partition("::")[0]).resolve()
    return any(path.is_relative_to(folder) for folder in PURE)
