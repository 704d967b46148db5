"""What OpenFeature's SDKs for Node and for browsers are told by a real server, with no worker anywhere."""

import json
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.clients import MARGIN_SECONDS, between_looks, those_within
from tests.e2e.test_openfeature import FLAGS, Admin
from tests.node import install, run
from tests.processes import web

CLIENTS = Path(__file__).parent / "node"
POLL_SECONDS = 0.02

pytestmark = pytest.mark.extra


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script beside the packages that its lock file names."""
    return install(CLIENTS, tmp_path_factory.mktemp("node"))


def seen_by(folder: Path, *arguments: str) -> dict[str, Any]:
    seen: dict[str, Any] = json.loads(run("node", "clients.mjs", *arguments, cwd=folder))
    return seen


def test_the_provider_for_servers_tells_what_was_meant(installed: Path, url: sa.URL, tmp_path: Path) -> None:
    with web(url, tmp_path / "web.log") as address:
        admin = Admin(address)
        admin.create(*FLAGS)
        admin.include("nobody", "ada")

        seen = seen_by(installed, address, "server")

    assert seen == {
        "steady": [True, "STATIC", "on", None],
        "dark": [False, "DISABLED", "off", None],
        "included": [True, "TARGETING_MATCH", "on", None],
        "nobody": [False, "STATIC", "off", None],
        "missing": [False, "ERROR", None, "FLAG_NOT_FOUND"],
        "keyless": [False, "ERROR", None, "TARGETING_KEY_MISSING"],
        "inside": those_within("some", 30),
    }


def test_the_provider_for_browsers_polls_a_change_at_its_instant(installed: Path, url: sa.URL, tmp_path: Path) -> None:
    with web(url, tmp_path / "web.log") as address:
        admin = Admin(address)
        admin.create({"key": "x"}, {"key": "steady", "enabled": True})
        # Node takes a while to begin.
        instant = between_looks(seconds=4)
        admin.plan("x", instant, enabled=True)

        seen = seen_by(installed, address, "web", "x", str(instant.timestamp() + 0.5))

    (change,) = seen["changes"]
    assert (seen["first"], seen["last"]) == ([False, "DISABLED", "off", None], [True, "STATIC", "on", None])
    assert seen["missing"] == [False, "ERROR", None, "FLAG_NOT_FOUND"]
    assert (change["value"], change["flagsChanged"]) == (True, ["x"])
    late = timedelta(milliseconds=change["at"] - round(instant.timestamp() * 1000))
    assert timedelta(0) <= late < timedelta(seconds=POLL_SECONDS + MARGIN_SECONDS)
    # Everything once at first, and once more at the instant: all other answers were known from before.
    assert [status for status, _ in groupby(seen["statuses"])] == [200, 304, 200, 304]
    assert seen["statuses"].count(200) == 2
