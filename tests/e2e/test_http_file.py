"""The file of requests for editors, sent to a live server by a runner that people use."""

import re
import subprocess
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.node import install
from tests.processes import a_token, web

FOLDER = Path(__file__).parents[1] / "http"
FILE = "feature-flag-scheduling.http"
TEXT = (FOLDER / FILE).read_text()
REQUESTS = re.findall(r"^(?:GET|POST|PATCH|DELETE) (.*)$", TEXT, flags=re.MULTILINE)
SUMMARY = re.compile(r"\d+ requests processed \(.*\)")


def test_the_file_has_enough_to_learn_from() -> None:
    assert sum("/schedule" in one for one in REQUESTS) >= 15
    assert sum("/schedule/bulk" in one for one in REQUESTS) >= 8


def test_the_file_names_no_instant_that_passes() -> None:
    # The one request that writes instants out is refused whatever the time is.
    named = re.findall(r'"scheduledAt": "(\d.*?)"', TEXT)

    assert named == ["2030-01-01T09:00:00Z", "2030-01-01T18:00:00+09:00"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file and its check beside httpyac."""
    return install(FOLDER, tmp_path_factory.mktemp("http"))


def send(folder: Path, text: str, address: str) -> "subprocess.CompletedProcess[str]":
    """Send all that the file has to this server, with a token put in as a person would."""
    text = re.sub(r"^@url = .*$", f"@url = {address}", text, flags=re.MULTILINE)
    text = re.sub(r"^@token = .*$", f"@token = {a_token()}", text, flags=re.MULTILINE)
    (folder / FILE).write_text(text)
    command = ["node_modules/.bin/httpyac", "send", FILE, "--all", "--output", "none", "--no-color"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def summary(done: "subprocess.CompletedProcess[str]") -> str:
    found = SUMMARY.findall(done.stdout)
    return str(found[-1]) if found else done.stdout + done.stderr


@pytest.mark.extra
def test_the_file_runs_from_end_to_end_with_only_a_token_put_in(installed: Path, url: sa.URL, tmp_path: Path) -> None:
    with web(url, tmp_path / "web.log") as address:
        for _ in range(2):
            done = send(installed, TEXT, address)

            assert summary(done) == f"{len(REQUESTS)} requests processed ({len(REQUESTS)} succeeded)", done.stdout
            assert done.returncode == 0


@pytest.mark.extra
@pytest.mark.parametrize("instead", ["# @status 200", "# no status"])
def test_a_status_that_is_not_as_the_file_says_fails(
    installed: Path, sqlite_url: sa.URL, tmp_path: Path, instead: str
) -> None:
    with web(sqlite_url, tmp_path / "web.log") as address:
        done = send(installed, TEXT.replace("# @status 201", instead, 1), address)

    assert summary(done) == f"{len(REQUESTS)} requests processed ({len(REQUESTS) - 1} succeeded, 1 failed)"
    assert done.returncode != 0
