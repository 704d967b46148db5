"""The console in a real browser, before a real server: what an admin, a viewer and an attacker do there."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests
import sqlalchemy as sa
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests import node
from tests.processes import a_token, until, web, worker

QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
AXE = Path(__file__).with_name("axe")
ZONE = "Europe/Berlin"
EVIL = "<script>window.evil = 1</script>\u202e " + "x" * 60
PHONE = {"width": 390, "height": 844}

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


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of axe-core."""
    return node.install(AXE, tmp_path_factory.mktemp("axe")) / "node_modules" / "axe-core" / "axe.min.js"


@dataclass
class Console:
    """A server's console, and the browsers of those who look at it."""

    address: str
    browser: Browser
    complaints: list[str]
    foreign: list[str]
    contexts: list[BrowserContext]

    def window(self, role: str = "admin", name: str = "ada", **options: Any) -> Page:
        """A new browser window of somebody who is signed in."""
        context = self.browser.new_context(timezone_id=ZONE, **options)
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.foreign.append(request.url) if self._is_foreign(request.url) else None)
        page.goto(f"{self.address}/console/sign-in")
        page.get_by_label("Token").fill(a_token(name, role=role))
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="What is coming in production")).to_be_visible()
        return page

    def go(self, page: Page, path: str) -> None:
        page.goto(f"{self.address}/console/{path}")

    def api(self, method: str, path: str, body: Any = None, *, expected: int = 201) -> Any:
        headers = {"Authorization": f"Bearer {a_token('ada')}"}
        answer = requests.request(method, f"{self.address}/api/admin{path}", json=body, headers=headers, timeout=10)
        assert answer.status_code == expected, answer.text
        return answer.json() if answer.content else None

    def flag(self, key: str, environment: str = "production", **values: Any) -> None:
        self.api("POST", "/flags", {"key": key, "environment": environment, **values})

    def schedule(self, key: str, at: datetime, **updates: Any) -> None:
        self.api("POST", f"/flags/{key}/schedule", {"scheduledAt": at.isoformat(), "updates": updates})

    def agenda(self, key: str, environment: str = "production") -> list[tuple[str, Any]]:
        found = self.api("GET", f"/flags/{key}/schedule?status=pending&environment={environment}", expected=200)
        return [(one["scheduledAt"], one["updates"]) for one in found]

    def _is_foreign(self, url: str) -> bool:
        return not url.startswith(self.address)

    def _note(self, message: Any) -> None:
        # A browser logs each response that is no success; these are looked at by the tests that expect them.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)


@pytest.fixture
def console(browser: Browser, sqlite_url: sa.URL, tmp_path: Path) -> Iterator[Console]:
    """A server with a worker. In the end no page may have complained, nor asked another host for anything."""
    with web(sqlite_url, tmp_path / "web.log") as address, worker(sqlite_url, tmp_path / "worker.log"):
        console = Console(address, browser, [], [], [])
        yield console
        for context in console.contexts:
            context.close()
    assert (console.complaints, console.foreign) == ([], [])


def ahead(**length: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(**length)


def local(at: datetime) -> str:
    """As an input has it in the browser's zone."""
    return at.astimezone(ZoneInfo(ZONE)).replace(tzinfo=None).isoformat(timespec="minutes")


def test_five_phases_over_two_flags_and_two_environments_are_planned_with_a_preview(console: Console) -> None:
    for environment in ("production", "staging"):
        for key in ("new-checkout", "dark-mode", "other"):
            console.flag(key, environment)
    page = console.window()
    page.get_by_role("link", name="Plan something").first.click()

    page.get_by_label("Title").fill("Checkout launch")
    page.get_by_label("new-checkout").check()
    page.get_by_label("dark-mode").check()
    page.get_by_role("checkbox", name="staging", exact=True).check()
    page.get_by_label("How much later production starts").fill("1")
    page.get_by_role("radio", name="at", exact=True).check()
    page.get_by_label("Start", exact=True).fill(local(ahead(days=2)))
    for row, percentage in enumerate((10, 25, 50, 75, 100)):
        step = page.get_by_role("group", name=f"Step {row + 1}", exact=True)
        if not step.is_visible():
            page.get_by_role("button", name="Another step").click()
        step.get_by_label("Percent").fill(str(percentage))
        if row:
            step.get_by_label("After").fill("6")

    preview = page.locator("#preview")
    expect(preview.get_by_text("5 changes of new-checkout in production")).to_be_visible()
    expect(preview.get_by_text("5 changes of dark-mode in staging")).to_be_visible()
    assert console.agenda("new-checkout") == []
    page.get_by_role("button", name="Plan all of it").click()

    expect(page.get_by_role("heading", name="Checkout launch")).to_be_visible()
    expect(page.locator("#status")).to_have_text("upcoming")
    expect(page.locator("table tbody tr")).to_have_count(20)
    staging, production = (
        datetime.fromisoformat(console.agenda("dark-mode", e)[0][0]) for e in ("staging", "production")
    )
    assert production - staging == timedelta(days=1)
    console.go(page, "?environment=staging")
    lane = page.locator(".lane-row").filter(has_text="dark-mode")
    expect(lane.get_by_role("img")).to_have_attribute("aria-label", _has("on for 10 % until"))


def _has(text: str) -> Any:
    return re.compile(re.escape(text))


def test_an_open_page_shows_what_falls_due_is_planned_and_held_without_reloading(console: Console) -> None:
    console.flag("new-checkout")
    coming, page = console.window(), console.window()
    console.go(page, "flags/new-checkout")
    expect(page.locator("#state")).to_have_text("off")

    console.schedule("new-checkout", ahead(seconds=6), enabled=True, rolloutPercentage=30)
    expect(coming.locator("section", has_text="Next changes").get_by_role("link", name="new-checkout")).to_be_visible()
    expect(page.locator("section", has_text="Planned").get_by_text("on, 30 %").first).to_be_visible()
    expect(page.locator("#state")).to_have_text("on for 30 %")
    expect(coming.get_by_text("Nothing is planned in production.")).to_be_visible()
    expect(page.get_by_text("as planned: off → on for 30 %")).to_be_visible()

    console.api("POST", "/flags/new-checkout/holds", {"reason": "errors at the provider"})
    expect(page.get_by_text("errors at the provider").first).to_be_visible()
    expect(coming.locator(".lane-row .badge.held")).to_be_visible()


def test_a_change_is_cancelled_and_another_is_moved(console: Console) -> None:
    console.flag("new-checkout")
    first, second = ahead(days=1), ahead(days=3)
    for at in (first, second):
        console.schedule("new-checkout", at, enabled=True)
    page = console.window()
    console.go(page, "flags/new-checkout")

    page.get_by_role("link", name="Cancel what is planned for").first.click()
    page.get_by_role("button", name="Cancel this change").click()
    expect(page.get_by_role("link", name="Cancel what is planned for")).to_have_count(1)
    page.get_by_role("link", name="Move or edit").click()
    page.get_by_label("When").fill(local(second + timedelta(hours=2)))
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("moved on from")).to_be_visible()
    (moved,) = console.agenda("new-checkout")
    assert datetime.fromisoformat(moved[0]) == (second + timedelta(hours=2)).replace(second=0)


def test_a_rollout_is_stopped_in_two_clicks_and_goes_on_by_a_shift(console: Console) -> None:
    console.flag("new-checkout", enabled=True, rolloutPercentage=10)
    planned = ahead(hours=1)
    console.schedule("new-checkout", planned, enabled=True, rolloutPercentage=100)
    page = console.window("operator", "oncall")
    console.go(page, "flags/new-checkout")

    page.get_by_role("link", name="Stop it").click()
    page.get_by_role("button", name="Stop it now").click()
    expect(page.locator("#state")).to_have_text("off")
    expect(page.get_by_role("status").filter(has_text="Held since")).to_be_visible()
    page.get_by_role("link", name="Release…").click()
    expect(page.get_by_role("img", name=_has("Then: off until")).first).to_be_visible()
    page.get_by_label("Shift").check()
    page.get_by_role("button", name="Release").click()

    expect(page.get_by_role("status").filter(has_text="Held since")).to_have_count(0)
    ((at, _),) = console.agenda("new-checkout")
    assert timedelta(0) < datetime.fromisoformat(at) - planned < timedelta(minutes=1)


def test_a_freeze_is_placed_with_what_it_defers_and_an_edit_in_it_says_why(console: Console) -> None:
    console.flag("new-checkout")
    console.schedule("new-checkout", ahead(hours=1), enabled=True)
    page = console.window()
    page.get_by_role("link", name="Freezes").click()
    page.get_by_role("link", name="Freeze production").click()
    page.get_by_label("Until (until it is released").fill(local(ahead(days=1)))
    page.get_by_label("Why", exact=True).fill("year-end close")
    page.get_by_role("button", name="See what it defers").click()
    expect(page.get_by_text("It defers 1 planned change:")).to_be_visible()
    page.get_by_role("button", name="Freeze production").click()
    expect(page.get_by_text("all of production")).to_be_visible()

    console.go(page, "flags/new-checkout")
    expect(page.get_by_text("Frozen since")).to_be_visible()
    page.get_by_label("Percent of users").fill("7")
    page.get_by_role("button", name="Set it now").click()
    page.get_by_label("Why in spite of the freeze?").fill("the director asked")
    expect(page.get_by_label("Percent of users")).to_have_value("7")
    page.get_by_role("button", name="Set it now").click()
    expect(page.get_by_text("in spite of a freeze: the director asked")).to_be_visible()


def test_an_edit_is_undone(console: Console) -> None:
    console.flag("new-checkout", enabled=True)
    console.api("PATCH", "/flags/new-checkout", {"enabled": False}, expected=200)
    page = console.window()
    console.go(page, "flags/new-checkout")

    page.get_by_role("link", name="Undo entry").first.click()
    page.get_by_role("button", name="Undo it").click()

    expect(page.locator("#state")).to_have_text("on")
    expect(page.get_by_text("turned it on, undoing entry")).to_be_visible()


def test_conflicts_and_past_times_show_at_their_row_and_nothing_typed_is_lost(console: Console) -> None:
    console.flag("new-checkout")
    at = ahead(days=1)
    console.schedule("new-checkout", at, enabled=True)
    page = console.window()
    console.go(page, "new-plan?shape=changes")
    page.get_by_label("Title").fill("Half a plan")
    for row, when in enumerate((at - timedelta(hours=1), at + timedelta(hours=1), ahead(days=-2))):
        change = page.get_by_role("group", name=f"Change {row + 1}", exact=True)
        change.get_by_label("Flag").fill("new-checkout")
        change.get_by_label("When").fill(local(when))
        change.get_by_label("State").select_option("off")
    expect(page.locator("#preview")).to_contain_text("must be in the future")

    page.get_by_role("button", name="Plan all of it").click()
    refused = page.get_by_role("group", name="Change 3", exact=True)
    expect(refused.get_by_role("alert")).to_contain_text("must be in the future")
    expect(page.get_by_role("group", name="Change 1", exact=True).get_by_role("alert")).to_have_count(0)
    expect(page.get_by_label("Title")).to_have_value("Half a plan")
    expect(refused.get_by_label("Flag")).to_have_value("new-checkout")
    refused.get_by_label("When").fill(local(ahead(days=4)))
    expect(page.locator("#preview").get_by_text("Planned already between its steps:")).to_be_visible()
    page.get_by_role("button", name="Plan all of it").click()
    expect(page.get_by_role("heading", name="Half a plan")).to_be_visible()


def test_of_two_windows_that_edit_one_flag_the_second_is_told(console: Console) -> None:
    console.flag("new-checkout")
    first, second = console.window(), console.window(name="grace")
    for page in (first, second):
        console.go(page, "flags/new-checkout")
    first.get_by_label("Percent of users").fill("40")
    second.get_by_label("Percent of users").fill("90")

    first.get_by_role("button", name="Set it now").click()
    expect(first.locator("#state")).to_have_text("off")
    expect(second.get_by_text("set it from 100 % to 40 %")).to_be_visible()
    second.get_by_role("button", name="Set it now").click()

    expect(second.get_by_role("alert")).to_contain_text("Somebody has changed it while you looked")
    expect(second.get_by_label("Percent of users")).to_have_value("90")
    assert console.api("GET", "/flags/new-checkout", expected=200)["rolloutPercentage"] == 40


def test_a_viewer_and_a_stranger_are_refused(console: Console) -> None:
    console.flag("new-checkout")
    viewer = console.window("viewer", "eve")
    console.go(viewer, "flags/new-checkout")
    expect(viewer.get_by_role("link", name="Stop it")).to_have_count(0)
    expect(viewer.get_by_role("button", name="Set it now")).to_have_count(0)
    console.go(viewer, "new-plan")
    expect(viewer.get_by_role("heading", name="this needs a token with the role 'admin'")).to_be_visible()

    page = viewer.context.new_page()
    page.goto(f"{console.address}/console/sign-in")
    page.get_by_role("button", name="Sign out").or_(page.get_by_role("button", name="Sign in")).first.wait_for()
    page.get_by_label("Token").fill(a_token("mallory", role="reader"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="this needs a token with the role")).to_be_visible()


def test_a_form_without_its_key_is_refused(console: Console) -> None:
    console.flag("new-checkout", enabled=True)
    page = console.window()
    console.go(page, "flags/new-checkout/stop")
    page.locator("main input[name=form_key]").evaluate("input => input.remove()")

    page.get_by_role("button", name="Stop it now").click()

    expect(page.get_by_role("heading", name="this form is not one that this page has made")).to_be_visible()
    assert console.api("GET", "/flags/new-checkout", expected=200)["enabled"] is True


PAGES = ("", "plans", "plans/{plan}", "plans/{plan}/shift", "new-plan?flag=new-checkout", "new-flag", "freezes",
         "new-freeze", "history", "flags/new-checkout", "flags/new-checkout/stop", "flags/new-checkout/plan", "zone",
         "holds/{hold}/release", "nowhere")  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(console: Console, axe: Path, scheme: Any) -> None:
    console.flag("new-checkout", enabled=True, rolloutPercentage=30, description=EVIL)
    steps = [{"updates": {"rolloutPercentage": n * 10}, "after": "PT6H"} for n in range(1, 5)]
    plan = console.api("POST", "/plans", {"title": EVIL, "flags": ["new-checkout"], "steps": steps})["plan"]["id"]
    hold = console.api("POST", "/flags/new-checkout/holds", {"reason": EVIL})["id"]
    page = console.window(color_scheme=scheme)
    page.context.add_init_script(path=axe)

    for path in PAGES:
        console.go(page, path.format(plan=plan, hold=hold))
        page.wait_for_timeout(300)
        found = page.evaluate("axe.run({resultTypes: ['violations']})")
        serious = [
            (one["id"], [node["html"][:200] for node in one["nodes"]])
            for one in found["violations"]
            if one["impact"] in {"serious", "critical"}
        ]
        assert serious == [], path
        assert page.evaluate("window.evil") is None


@pytest.mark.parametrize("viewport", [PHONE, {"width": 1280, "height": 800}])
def test_no_page_is_wider_than_the_screen(console: Console, viewport: Any) -> None:
    console.flag("new-checkout", enabled=True, description="y" * 200)
    console.flag("k" * 100)
    steps = [{"updates": {"enabled": True}, "after": "P1D"}]
    plan = console.api("POST", "/plans", {"title": "z" * 200, "flags": ["k" * 100], "steps": steps})["plan"]["id"]
    hold = console.api("POST", "/flags/new-checkout/holds", {"reason": "w" * 300})["id"]
    page = console.window(viewport=viewport)

    for path in PAGES:
        console.go(page, path.format(plan=plan, hold=hold))
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path


def test_many_flags_are_scrolled_through_and_each_is_kept_up_to_date(console: Console) -> None:
    for n in range(130):
        console.flag(f"flag-{n:03}")
    page = console.window()
    expect(page.locator(".lane-row")).to_have_count(100)

    page.get_by_text("More flags").scroll_into_view_if_needed()
    expect(page.locator(".lane-row")).to_have_count(130)
    console.api("PATCH", "/flags/flag-129", {"enabled": True, "rolloutPercentage": 45}, expected=200)

    expect(page.locator(".lane-row").filter(has_text="flag-129")).to_contain_text("on for 45 %")
    expect(page.locator(".lane-row")).to_have_count(130)


def test_everything_can_be_read_without_scripts(console: Console) -> None:
    console.flag("new-checkout", enabled=True, rolloutPercentage=30)
    page = console.window(java_script_enabled=False)

    for path in ("history", "flags/new-checkout", ""):
        console.go(page, path)
        expect(page.locator("main")).to_contain_text("new-checkout")
    page.get_by_label("Environment").select_option("production")
    page.get_by_role("button", name="Show").first.click()
    expect(page.get_by_role("heading", name="What is coming in production")).to_be_visible()


def test_a_page_is_left_and_operated_by_the_keyboard_alone(console: Console) -> None:
    console.flag("new-checkout", enabled=True)
    page = console.window()
    console.go(page, "flags/new-checkout")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for _ in range(40):
        if page.evaluate("document.activeElement.textContent.trim()") == "Stop it":
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_label("Why").press("Enter")

    expect(page.locator("#state")).to_have_text("off")


def test_dates_are_right_across_both_changes_of_the_clocks(console: Console) -> None:
    console.flag("new-checkout")
    page = console.window()
    year = ahead().year + 1
    spring = next(d for d in (datetime(year, 3, n, tzinfo=UTC) for n in range(25, 32)) if d.weekday() == 6)
    autumn = next(d for d in (datetime(year, 10, n, tzinfo=UTC) for n in range(25, 32)) if d.weekday() == 6)
    console.go(page, "new-plan?flag=new-checkout&shape=ramp")
    page.get_by_role("radio", name="at", exact=True).check()
    page.get_by_label("Start", exact=True).fill(f"{spring - timedelta(days=1):%Y-%m-%d}T09:00")
    page.get_by_label("Steps").nth(1).fill("3")
    expect(page.locator("#preview").get_by_text("go forward by 1 h")).to_be_visible()
    page.get_by_label("Start", exact=True).fill(f"{autumn - timedelta(days=1):%Y-%m-%d}T09:00")
    expect(page.locator("#preview").get_by_text("go back by 1 h")).to_be_visible()
    page.get_by_label("Title").fill("Autumn")
    page.get_by_role("button", name="Plan all of it").click()

    # At nine by the clocks on the wall, each day.
    expect(page.get_by_role("cell", name=_has("09:00 (07:00 UTC)"))).to_have_count(1)
    expect(page.get_by_role("cell", name=_has("09:00 (08:00 UTC)"))).to_have_count(2)


def test_the_history_is_downloaded_whole(console: Console) -> None:
    console.flag("new-checkout")
    for n in range(510):
        console.api("PATCH", "/flags/new-checkout", {"rolloutPercentage": n % 100}, expected=200)
    page = console.window()
    page.get_by_role("link", name="History").click()

    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()

    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == 512
    assert lines[0].startswith("id,effectiveAt,")
    assert "flag.created" in lines[-1]


def test_a_server_that_goes_away_is_noticed_and_what_was_shown_stays(
    browser: Browser, sqlite_url: sa.URL, tmp_path: Path
) -> None:
    with web(sqlite_url, tmp_path / "web.log") as address:
        console = Console(address, browser, [], [], [])
        console.flag("new-checkout")
        page = console.window()
        expect(page.locator(".lane-row")).to_have_count(1)
    expect(page.get_by_text("The server does not answer.")).to_be_visible()
    expect(page.locator(".lane-row")).to_have_count(1)
    until(lambda: not console.foreign, what="nothing was asked elsewhere")
    console.contexts[0].close()
