"""The commands for whoever is on call, against a real server; and what a start of the command line loads."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from tests.processes import ROOT, a_token, free_port, web

HEAVY = ("flask", "sqlalchemy", "alembic", "apscheduler", "werkzeug", "psycopg2")


@dataclass(frozen=True, slots=True)
class OnCall:
    """Somebody with the command line, and a token of a role."""

    address: str
    token: str

    def run(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        env = os.environ | {"FLAGSCHED_URL": self.address, "FLAGSCHED_TOKEN": self.token, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, "-m", "flagsched", *arguments], env=env | variables,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def told(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def fails(self, *arguments: str, **variables: str) -> str:
        done = self.run(*arguments, **variables)
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr.removeprefix("flagsched: ").strip()


@dataclass(frozen=True, slots=True)
class Admin:
    """Plans, and looks."""

    address: str

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {a_token()}"}
        answer = requests.request(method, f"{self.address}/api/admin{path}", json=body, headers=headers, timeout=9)
        assert answer.ok, answer.text
        return answer.json()

    def ask_for_nothing(self, method: str, path: str) -> None:
        headers = {"Authorization": f"Bearer {a_token()}"}
        assert requests.request(method, f"{self.address}/api/admin{path}", headers=headers, timeout=9).ok

    def a_flag(self, key: str, *hours: int, environment: str = "production") -> None:
        """On, with a step so many hours from now on each."""
        self.ask("POST", "/flags", {"key": key, "environment": environment, "enabled": True})
        at = datetime.now(UTC)
        for n in hours:
            step = {"scheduledAt": (at + timedelta(hours=n)).isoformat(), "updates": {"enabled": True}}
            self.ask("POST", f"/flags/{key}/schedule?environment={environment}", step)

    def flag(self, key: str, environment: str = "production") -> Any:
        return self.ask("GET", f"/flags/{key}?environment={environment}")


@pytest.fixture(scope="module")
def address(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for all: each test has flags and environments of its own."""
    folder = tmp_path_factory.mktemp("commands")
    url = sa.make_url(f"sqlite:///{shutil.copy(sqlite_template, folder / 'commands.db')}")
    with web(url, folder / "web.log") as address:
        yield address


@pytest.fixture
def admin(address: str) -> Admin:
    return Admin(address)


@pytest.fixture
def on_call(address: str) -> OnCall:
    return OnCall(address, a_token(role="operator"))


def test_at_night_one_turns_off_holds_and_releases(admin: Admin, on_call: OnCall) -> None:
    admin.a_flag("night", 1, 2)

    held = on_call.told("hold", "night", "--off", "--reason", "checkout fails")
    asleep = admin.flag("night")
    released = on_call.told("release", "night", "--then", "shift")

    assert held == (
        "night in production is off, and held until it is released: nothing planned for it takes effect. "
        "Release it with: flagsched release night\n"
    )
    assert (asleep["enabled"], [one["reason"] for one in asleep["holds"]]) == (False, ["checkout fails"])
    assert released == (
        "night in production is released: what was planned from its beginning on has moved by its length\n"
    )
    assert admin.flag("night")["holds"] == []


def test_an_environment_is_frozen_and_thawed(admin: Admin, on_call: OnCall) -> None:
    admin.a_flag("shop", 1, environment="shops")

    frozen = on_call.told("freeze", "shops", "--until", "2099-01-04T08:00+01:00", "--reason", "holidays")
    only = on_call.fails("release", "shop", "--environment", "shops")
    on_call.told("hold", "shop", "--environment", "shops", "--reason", "it burns")
    also = on_call.told("release", "shop", "--environment", "shops")
    thawed = on_call.told("thaw", "shops", "--then", "skip")

    hold = admin.ask("GET", "/holds?environment=shops&status=over")["holds"]
    freeze = next(one["id"] for one in hold if one["flagKey"] is None)
    assert frozen == (
        "all of shops is frozen until 2099-01-04T07:00:00Z: nothing planned takes effect, and edits by hand are "
        f"refused. Its hold is {freeze}; end it with: flagsched thaw shops\n"
    )
    assert only == (
        "only a hold of all of shops bears on shop: 'flagsched thaw shops' releases that, and so all flags there"
    )
    assert also == (
        "shop in shops is released: what was planned meanwhile is in effect. A hold of all of shops bears on it still\n"
    )
    assert thawed == "all of shops is released: what was planned meanwhile is skipped\n"
    assert admin.flag("shop", "shops")["holds"] == []


def test_a_freeze_may_be_planned(admin: Admin, on_call: OnCall) -> None:
    admin.a_flag("shop", environment="planned")

    frozen = on_call.told("freeze", "planned", "--from", "2098-12-23T18:00Z", "--reason", "holidays")
    refused = on_call.fails("thaw", "planned")
    taken_back = on_call.told("thaw", "planned", "--planned")
    nothing = on_call.fails("thaw", "planned", "--planned")

    assert frozen.startswith("all of planned is frozen from 2098-12-23T18:00:00Z until it is released: ")
    assert frozen.endswith("; end it with: flagsched thaw planned --planned\n")
    assert refused == (
        "nothing holds all of planned now; it is to be held from 2098-12-23T18:00:00Z: 'flagsched thaw planned "
        "--planned' takes that back"
    )
    assert taken_back == "all of planned is released: what was planned to hold it never begins\n"
    assert nothing == "nothing holds all of planned now"


def test_a_program_gets_the_servers_answer(admin: Admin, on_call: OnCall) -> None:
    admin.a_flag("machine")

    held = json.loads(on_call.told("hold", "machine", "--reason", "a machine", "--then", "skip", "--json"))
    released = json.loads(on_call.told("release", "machine", "--json"))

    assert [(one["flagKey"], one["status"], one["then"]) for one in held] == [("machine", "active", "skip")]
    assert [(one["id"], one["status"], one["then"]) for one in released] == [(held[0]["id"], "over", "skip")]


def test_the_newest_change_is_undone_and_that_too(admin: Admin, address: str) -> None:
    admin.a_flag("slip")
    admin.ask("PATCH", "/flags/slip", {"rolloutPercentage": 5})
    ada = OnCall(address, a_token())
    slip = admin.ask("GET", "/flags/slip/history")["entries"][0]["id"]
    OnCall(address, a_token(role="operator")).told("hold", "slip", "--reason", "looks at it")

    undone = ada.told("undo", "slip")
    again = json.loads(ada.told("undo", "slip", "--entry", str(slip + 2), "--json"))
    admin.ask("PATCH", "/flags/slip", {"rolloutPercentage": 7})
    changed = ada.fails("undo", "slip", "--entry", str(slip))
    forced = ada.told("undo", "slip", "--entry", str(slip), "--force")

    assert undone == (
        f"slip in production: entry {slip} is undone by entry {slip + 2}, flag.updated: rolloutPercentage 5 -> 100\n"
    )
    assert (again["undoes"], again["after"]["rolloutPercentage"]) == (slip + 2, 5)
    assert changed.startswith('rolloutPercentage: changed since. "force": true sets it back all the same - ')
    assert changed.endswith("rolloutPercentage.then: 5 - rolloutPercentage.before: 100 - rolloutPercentage.now: 7")
    assert forced.endswith("flag.updated: rolloutPercentage 7 -> 100\n")


def test_an_archived_flag_is_brought_back(admin: Admin, address: str) -> None:
    admin.a_flag("gone")
    admin.ask_for_nothing("DELETE", "/flags/gone")

    undone = OnCall(address, a_token()).told("undo", "gone")

    assert undone.endswith("flag.restored: archived True -> False\n")
    assert admin.flag("gone")["enabled"] is True


def test_what_can_not_be_done_says_why(admin: Admin, on_call: OnCall, address: str) -> None:
    admin.a_flag("unheld")
    viewer = OnCall(address, a_token(role="viewer"))

    assert on_call.fails("hold", "no-such", "--reason", "why").startswith("flag 'no-such' does not exist")
    assert on_call.fails("hold", "unheld", "--reason", " ") == "The request is not valid - reason: must not be empty"
    past = on_call.fails("hold", "unheld", "--reason", "x", "--until", "2020-01-01T00:00Z")
    assert past == "The request is not valid - until: must be after the hold's beginning"
    assert on_call.fails("freeze", "nowhere", "--reason", "x").startswith("environment 'nowhere' does not exist")
    assert on_call.fails("release", "unheld") == "nothing holds unheld in production now"
    assert viewer.fails("hold", "unheld", "--reason", "x").startswith("the role in FLAGSCHED_TOKEN is not enough: 403 ")
    assert on_call.fails("release", "unheld", FLAGSCHED_TOKEN="").startswith("Environment variable")
    assert (
        OnCall(address, a_token()).fails("undo", "unheld").startswith("nothing of unheld in production can be undone")
    )
    nobody = f"http://127.0.0.1:{free_port()}"
    assert on_call.fails("release", "unheld", FLAGSCHED_URL=nobody).startswith(f"no server answers at {nobody}: ")


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["hold", "--help"], ["undo", "--help"]])
def test_a_command_that_asks_a_server_loads_neither_flask_nor_sqlalchemy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from flagsched.bootstrap.cli import flagsched\n"
        f"flagsched({arguments!r}, standalone_mode=False)\n"
        f"print([one for one in {HEAVY!r} if one in sys.modules])\n"
    )

    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("until", "why"), [("tomorrow", "is no instant, as 2027-01-04T08:00+01:00"), ("2027-01-04T08:00", "has no offset")]
)
def test_an_instant_needs_an_offset(on_call: OnCall, until: str, why: str) -> None:
    done = on_call.run("hold", "unheld", "--reason", "x", "--until", until)

    assert done.returncode == 2
    assert f"{until!r} {why}" in done.stderr


def test_a_command_that_there_is_not_is_refused(on_call: OnCall) -> None:
    done = on_call.run("relase", "night")

    assert done.returncode == 2
    assert "No such command 'relase'" in done.stderr
