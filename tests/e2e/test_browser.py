"""The page that shows the API, in a real browser."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, expect, sync_playwright

from tests.processes import web

QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip

pytestmark = pytest.mark.extra


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The distribution's Chromium."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    assert path, "no Chromium: apt install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


def test_the_api_can_be_read_in_a_browser_and_nothing_comes_from_elsewhere(
    browser: Browser, sqlite_url: sa.URL, tmp_path: Path
) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    with web(sqlite_url, tmp_path / "web.log") as address:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))

        page.goto(f"{address}/docs")

        expect(page.locator(".info .title")).to_contain_text("flagsched")
        expect(page.get_by_text("Plan up to fifty changes of a flag")).to_be_visible()
        expect(page.locator(".opblock")).to_have_count(25)
        page.screenshot(path=tmp_path / "docs.png")
        page.close()

    assert complaints == []
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
