"""The page that shows the API, in a real browser."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, expect, sync_playwright

from tests.processes import a_token, web

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
        expect(page.locator(".opblock")).to_have_count(42)
        expect(page.locator(".opblock-deprecated")).to_have_count(1)
        page.screenshot(path=tmp_path / "docs.png")
        page.close()

    assert complaints == []
    assert [url for url in asked if not url.startswith((address, "data:"))] == []


def test_an_admin_tries_operations_out_with_what_the_page_fills_in(
    browser: Browser, sqlite_url: sa.URL, tmp_path: Path
) -> None:
    story = {
        "flags-createFlag": "201",
        "flags-editFlag": "200",
        "schedules-createSchedule": "201",
        "schedules-createSchedules": "201",
        "schedules-listAllSchedules": "200",
        "timeline-previewSchedules": "200",
        "overrides-setOverride": "201",
        "config-evaluateFlags": "200",
        "flags-archiveFlag": "204",
    }
    with web(sqlite_url, tmp_path / "web.log") as address:
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(f"{address}/docs")
        page.get_by_role("button", name="Authorize").first.click()
        page.get_by_label("Value").first.fill(a_token())
        page.get_by_role("button", name="Apply credentials").first.click()
        page.get_by_role("button", name="Close").first.click()

        for operation, status in story.items():
            block = page.locator(f"#operations-{operation}")
            block.locator(".opblock-summary-control").click()
            block.get_by_role("button", name="Try it out").click()
            block.get_by_role("button", name="Execute").click()
            expect(block.locator(".live-responses-table .response-col_status").last).to_contain_text(status)
            page.screenshot(path=tmp_path / f"{operation}.png")
            block.locator(".opblock-summary-control").click()
        page.close()
