"""The file of requests for editors, sent to a live server as an editor would."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import requests
import sqlalchemy as sa

from tests.e2e.test_end_to_end import run_flagsched
from tests.openapi import Contract
from tests.processes import web

FILE = Path(__file__).parents[1] / "http" / "feature-flag-scheduling.http"
TITLE = re.compile(r"^### (?P<title>.*)\n# (?P<status>[0-9]{3})\n", flags=re.MULTILINE)


class Written(NamedTuple):
    """A request as the file has it, and the status beside it."""

    title: str
    status: int
    method: str
    url: str
    headers: dict[str, str]
    body: str


def written(variables: dict[str, str]) -> Iterator[Written]:
    """The requests of the file, with these variables in place of its own."""
    text = FILE.read_text()
    own = dict(re.findall(r"^@(\w+) = (.*)$", text, flags=re.MULTILINE))
    for name, value in (own | variables).items():
        text = text.replace("{{" + name + "}}", value)
    parts = TITLE.split(text)[1:]
    for title, status, request in zip(*[iter(parts)] * 3, strict=True):
        head, _, body = request.partition("\n\n")
        line, *headers = head.splitlines()
        method, url = line.split(" ", 1)
        yield Written(title, int(status), method, url, dict(h.split(": ", 1) for h in headers), body.strip())


def test_the_file_has_enough_to_learn_from() -> None:
    requests_of_schedules = [one for one in written({}) if "/schedule" in one.url]

    assert len(requests_of_schedules) >= 15
    assert sum("/schedule/bulk" in one.url for one in requests_of_schedules) >= 8


def test_every_request_of_the_file_is_answered_as_it_says(url: sa.URL, tmp_path: Path, contract: Contract) -> None:
    token = run_flagsched(url, "token", "--subject", "ada").stdout.strip()
    now = datetime.now(UTC)
    soon = {f"in{n}m": (now + timedelta(minutes=n)).isoformat() for n in range(1, 6)}
    with web(url, tmp_path / "web.log") as address:
        for one in written({"url": address, "token": token} | soon):
            answer = requests.request(one.method, one.url, headers=one.headers, data=one.body.encode(), timeout=9)
            assert answer.status_code == one.status, (one.title, answer.text)
    assert contract.checked == 36
