"""docs/applications.md: its examples as they stand there, in Node and in a browser, on a page of another origin."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from pathlib import Path
from threading import Thread

import pytest
import requests
import sqlalchemy as sa
from playwright.sync_api import Browser, Response

from tests.docs import examples
from tests.e2e.test_browser import browser
from tests.e2e.test_openfeature import Admin
from tests.e2e.test_openfeature_node import installed
from tests.processes import environment, started, until, web

__all__ = ["browser", "installed"]

CORS, SDK, SDK_PRINTS, FETCH = examples("docs/applications.md")
ADDRESS = "http://127.0.0.1:8000"
SECONDS = 2
PAGE = '<!doctype html><link rel="icon" href="data:,"><script>{script}</script>'

pytestmark = pytest.mark.extra


def an_admin(address: str) -> Admin:
    """An admin of a server that has begun to answer, with a flag that is off."""
    assert requests.get(f"{address}/healthz", timeout=60).ok
    admin = Admin(address)
    admin.create({"key": "dark-mode"})
    return admin


def turn_on_soon(admin: Admin) -> None:
    admin.plan("dark-mode", datetime.now(UTC) + timedelta(seconds=SECONDS), enabled=True)


def without_repetitions(lines: list[str]) -> list[str]:
    """What was planned is metadata of a flag: as soon as it is known, the flag is told again."""
    return [line for line, _ in groupby(lines)]


def test_the_openfeature_example_prints_what_it_says(installed: Path, url: sa.URL, tmp_path: Path) -> None:
    with web(url, tmp_path / "web.log") as address:
        admin = an_admin(address)
        (installed / "example.mjs").write_text(SDK.replace(ADDRESS, address))

        with started(["node", "example.mjs"], tmp_path / "node.log", environment(url), cwd=installed) as running:
            until(lambda: "off" in running.log, what="the first line")
            turn_on_soon(admin)
            until(lambda: "on\n" in running.log, what="the second line")
            printed = running.log.splitlines()

    assert without_repetitions(printed) == SDK_PRINTS.splitlines()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """A web site with the files of this folder; gives its origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Opened:
    """A page that runs the example, what it prints, and the statuses of what it is answered."""

    def __init__(self, browser: Browser, folder: Path, origin: str, address: str) -> None:
        (folder / "index.html").write_text(PAGE.format(script=FETCH.replace(ADDRESS, address)))
        self.printed: list[str] = []
        self.statuses: list[int] = []
        self.page = browser.new_page()
        self.page.on("console", lambda message: self.printed.append(message.text))
        self.page.on("response", self._note)
        self.page.goto(origin)

    def _note(self, answer: Response) -> None:
        if "/ofrep/" in answer.url:
            self.statuses.append(answer.status)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Let the page go on until it is so."""
        for _ in range(400):
            if condition():
                return
            self.page.wait_for_timeout(50)
        pytest.fail(f"it did not come about: {self.printed} {self.statuses}")


def test_the_fetch_example_prints_the_same_on_a_page_of_an_allowed_origin(
    browser: Browser, url: sa.URL, tmp_path: Path
) -> None:
    with site(tmp_path) as origin, web(url, tmp_path / "web.log", **{CORS.partition("=")[0]: origin}) as address:
        admin = an_admin(address)

        opened = Opened(browser, tmp_path, origin, address)
        opened.wait(lambda: "dark-mode is off" in opened.printed and 304 in opened.statuses)
        turn_on_soon(admin)
        opened.wait(lambda: "dark-mode is on" in opened.printed)
        opened.page.close()

    assert without_repetitions(opened.printed) == SDK_PRINTS.splitlines()
    assert set(opened.statuses) == {200, 304}


def test_a_page_of_another_origin_gets_no_answer_and_goes_on(
    browser: Browser, sqlite_url: sa.URL, tmp_path: Path
) -> None:
    allowed = {"FLAGSCHED_CORS_ORIGINS": "http://other.example"}
    with site(tmp_path) as origin, web(sqlite_url, tmp_path / "web.log", **allowed) as address:
        an_admin(address)

        opened = Opened(browser, tmp_path, origin, address)
        opened.wait(lambda: opened.printed.count("Failed to fetch") == 2)
        opened.page.close()

    assert any("blocked by CORS policy" in line for line in opened.printed)
    assert not any("dark-mode" in line for line in opened.printed)
