"""Takes the pictures of docs/console.md: `python3 -m tests.e2e.screenshots`, with Chromium installed.

The server is one of its own, and its database is thrown away afterwards.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import requests
import sqlalchemy as sa
from playwright.sync_api import Page, sync_playwright

from tests.databases import migrate
from tests.processes import ROOT, a_token, web, worker

IMAGES = ROOT / "docs" / "images"
DESKTOP, PHONE = {"width": 1180, "height": 760}, {"width": 390, "height": 760}
ENVIRONMENTS = ("production", "staging")
FLAGS: dict[str, dict[str, Any]] = {
    "new-checkout": {"enabled": True, "rolloutPercentage": 5, "description": "The checkout on one page"},
    "holiday-banner": {"rolloutPercentage": 100, "description": "The banner of the winter sale"},
    "payments-v3": {"rolloutPercentage": 10, "description": "The new payment provider"},
    "search-v2": {"enabled": True, "rolloutPercentage": 30},
    "dark-mode": {"enabled": True, "rolloutPercentage": 80},
}


@contextmanager
def served() -> Iterator[str]:
    """The address of a server with a worker."""
    folder = Path(mkdtemp(prefix="flagsched-"))
    url = sa.make_url(f"sqlite:///{folder / 'flagsched.db'}")
    migrate(url)
    with web(url, folder / "web.log") as address, worker(url, folder / "worker.log"):
        yield address
    shutil.rmtree(folder)


class Story:
    """What is on the pictures."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._today = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)

    def api(self, method: str, path: str, body: Any) -> Any:
        headers = {"Authorization": f"Bearer {a_token('ada')}"}
        answer = requests.request(method, f"{self.address}/api/admin{path}", json=body, headers=headers, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def at(self, **length: float) -> str:
        return (self._today + timedelta(**length)).isoformat()

    def tell(self) -> tuple[str, str]:
        """Make flags, plans, a freeze and a hold; returns the ids of a plan and of the hold."""
        for environment in ENVIRONMENTS:
            for key, values in FLAGS.items():
                self.api("POST", "/flags", {"key": key, "environment": environment, **values})
        steps: list[dict[str, Any]] = [{"updates": {"enabled": True, "rolloutPercentage": 10}}]
        steps += [{"updates": {"rolloutPercentage": share}, "after": "P1D"} for share in (25, 50, 100)]
        launch = {"title": "Checkout launch", "flags": ["new-checkout"], "timeZone": "Europe/Berlin", "steps": steps}
        environments = [{"name": "staging"}, {"name": "production", "offset": "PT12H"}]
        plan = self.api("POST", "/plans", {**launch, "environments": environments})
        on, off = {"enabled": True}, {"enabled": False}
        sale = [("holiday-banner", self.at(days=1, hours=3), on), ("holiday-banner", self.at(days=4), off)]
        changes = [{"flagKey": key, "scheduledAt": at, "updates": updates} for key, at, updates in sale]
        self.api("POST", "/plans", {"title": "Winter sale", "changes": changes})
        ramp = {"from": 10, "to": 100, "steps": 5, "every": "P1D", "enabled": True}
        self.api(
            "POST", "/plans", {"title": "Payments", "flags": ["payments-v3"], "startAt": self.at(hours=3), "ramp": ramp}
        )
        later = {"scheduledAt": self.at(days=2), "updates": {"rolloutPercentage": 60}, "onlyIf": {"unedited": True}}
        self.api("POST", "/flags/search-v2/schedule", later)
        self.api("POST", "/flags/search-v2/users", {"userId": "grace", "override": "include", "reason": "tester"})
        freeze = {
            "reason": "Year-end close",
            "from": self.at(days=4, hours=6),
            "until": self.at(days=5),
            "refuseEdits": True,
        }
        self.api("POST", "/environments/production/holds", freeze)
        hold = self.api("POST", "/flags/payments-v3/holds", {"reason": "Errors at the provider", "updates": off})
        return plan["plan"]["id"], hold["id"]


def main() -> None:
    """Take all pictures."""
    IMAGES.mkdir(exist_ok=True)
    with served() as address, sync_playwright() as playwright:
        plan, hold = Story(address).tell()
        path = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=["--disable-gpu"])
        pictures = {
            "coming": ("", DESKTOP, "light"),
            "coming-dark": ("", DESKTOP, "dark"),
            "flag": ("flags/new-checkout", DESKTOP, "light"),
            "flag-phone": ("flags/payments-v3", PHONE, "light"),
            "stop": ("flags/new-checkout/stop", DESKTOP, "light"),
            "release": (f"holds/{hold}/release", DESKTOP, "light"),
            "plan": (f"plans/{plan}", DESKTOP, "light"),
            "new-plan": ("new-plan?flag=search-v2&shape=ramp", DESKTOP, "light"),
            "freezes": ("freezes", DESKTOP, "light"),
            "history": ("history", DESKTOP, "light"),
        }
        for name, (where, viewport, scheme) in pictures.items():
            context = browser.new_context(viewport=viewport, color_scheme=scheme, timezone_id="Europe/Berlin")
            page = context.new_page()
            _sign_in(page, address)
            page.goto(f"{address}/console/{where}")
            page.wait_for_timeout(1200)
            page.screenshot(path=IMAGES / f"{name}.png")
            context.close()
        browser.close()


def _sign_in(page: Page, address: str) -> None:
    page.goto(f"{address}/console/sign-in")
    page.get_by_label("Token").fill(a_token("ada"))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_load_state()


if __name__ == "__main__":
    main()
