"""Plan files of the field, applied by the command line to a real server."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
import sqlalchemy as sa
import yaml

from flagsched.client.strict_yaml import parse_yaml
from flagsched.domain.durations import Duration
from tests.processes import ROOT, a_token, free_port, web

PLANS = sorted((ROOT / "tests" / "plans").glob("*.yaml"))


def hours(name: str) -> str:
    """A plan with this name for the flag with this key: 5 % from now on, 25 % six hours later."""
    return f"""\
name: {name}
flags: [{name}]
steps:
  - updates: {{enabled: true, rolloutPercentage: 5}}
  - after: PT6H
    updates: {{rolloutPercentage: 25}}
"""


@dataclass(frozen=True, slots=True)
class Admin:
    """Somebody with the command line, a token and a server."""

    address: str
    token: str

    @property
    def env(self) -> dict[str, str]:
        return os.environ | {"FLAGSCHED_URL": self.address, "FLAGSCHED_TOKEN": self.token, "PYTHONPATH": str(ROOT)}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "flagsched", "plan", *arguments]

    def run(self, *arguments: str, given: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*arguments), input=given, env=self.env | variables,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def run_on_terminal(self, *arguments: str, types: str, columns: int = 80) -> tuple[int, str]:
        """Answer the question; give the exit code and what the terminal got."""
        ours, theirs = pty.openpty()
        env = self.env | {"COLUMNS": str(columns), "TERM": "xterm"}
        with subprocess.Popen(self.command(*arguments), env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            os.write(ours, types.encode())
            printed = b""
            with suppress(OSError):  # As a terminal ends.
                while select.select([ours], [], [], 60)[0]:
                    printed += os.read(ours, 65536)
            os.close(ours)
            return process.wait(timeout=20), printed.decode().replace("\r\n", "\n")

    def applied(self, path: Path | str, **options: str) -> Any:
        done = self.run("apply", "--yes", "--json", str(path), **options)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = requests.request(method, f"{self.address}/api/admin{path}", headers=headers, timeout=9, **options)
        assert answer.ok, answer.text
        return answer.json()

    def create_flag(self, key: str, environment: str = "production") -> None:
        self.ask("POST", "/flags", json={"key": key, "environment": environment})

    def plans(self, name: str) -> Any:
        return self.ask("GET", "/plans", params={"name": name})["plans"]

    def timeline(self, key: str, environment: str) -> dict[str, str]:
        """The states of a flag, by the instants from which on they hold; that at its creation is 'before'.

        A state that begins with an override says so.
        """
        flag, query = f"/flags/{quote(key)}", {"environment": environment}
        created_at = self.ask("GET", flag, params=query)["createdAt"]
        planned = {one["id"]: one["override"] for one in self.ask("GET", f"{flag}/schedule", params=query)}
        segments = self.ask("GET", f"{flag}/timeline", params=query | {"from": created_at})["segments"]
        states = [state_of(one, planned.get(one["cause"]["scheduleId"])) for one in segments]
        return dict(zip(["before", *(one["from"] for one in segments[1:])], states, strict=True))


def state_of(segment: Any, override: Any) -> str:
    state = f"{'on' if segment['enabled'] else 'off'} {segment['rolloutPercentage']} %"
    return f"{state}, {override['set']} {override['userId']}" if override else state


@pytest.fixture(scope="module")
def admin(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """One server for all: each test has plans and flags of its own."""
    folder = tmp_path_factory.mktemp("plans")
    url = sa.make_url(f"sqlite:///{shutil.copy(sqlite_template, folder / 'plans.db')}")
    with web(url, folder / "web.log", FLAGSCHED_HORIZON_DAYS="3660") as address:
        yield Admin(address, a_token())


def edited(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan as somebody would edit it: a step more, or a change less."""
    if "changes" in plan:
        return plan | {"changes": plan["changes"][:-1]}
    if "ramp" in plan:
        return plan | {"ramp": plan["ramp"] | {"from": plan["ramp"]["from"] - 1, "steps": plan["ramp"]["steps"] + 1}}
    return plan | {"steps": [*plan["steps"], {"after": "P1D", "updates": {"enabled": False}}]}


def instant(when: str, start: datetime) -> str:
    """An instant of a table: itself, or the plan's start, or so long after it."""
    if when != "start" and not when.startswith("P"):
        return when
    at = start if when == "start" else start + Duration.parse(when).exact
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds").replace("+00:00", "Z")


def table_of(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    """The states of each flag and environment that a plan's table expects, by instants."""
    table = parse_yaml((path.parent / "timelines" / path.name).read_text()).value
    return {tuple(name.split(" in ")): states for name, states in table.items()}


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_a_plan_of_the_field_comes_about_as_its_table_says(path: Path, admin: Admin, tmp_path: Path) -> None:
    table = table_of(path)
    for key, environment in table:
        admin.create_flag(key, environment)

    applied = admin.applied(path)

    start = datetime.fromisoformat(applied["plan"]["createdAt"])
    table = {flag: {instant(when, start): state for when, state in states.items()} for flag, states in table.items()}
    assert {flag: admin.timeline(*flag) for flag in table} == table
    assert applied["created"]
    assert len(applied["added"]) == sum(len(states) - 1 for states in table.values())

    again = admin.applied(path)

    assert (again["changed"], again["added"], again["cancelled"]) == (False, [], [])
    assert len(again["kept"]) == len(applied["added"])
    assert again["plan"] == applied["plan"]

    other = tmp_path / f"{path.stem}.json"
    other.write_text(json.dumps(edited(parse_yaml(path.read_text()).value)))

    assert admin.run("apply", "--check", str(path)).returncode == 0
    assert admin.run("apply", "--check", str(other)).returncode == 2
    assert {flag: admin.timeline(*flag) for flag in table} == table


def test_each_plan_has_its_table() -> None:
    tables = {path.name for path in (ROOT / "tests" / "plans" / "timelines").iterdir()}

    assert {path.name for path in PLANS} == tables
    assert len(tables) == 10
    # Each is ordinary YAML, too, to whom reads it with another parser.
    assert all(yaml.safe_load(path.read_text())["name"] == path.stem for path in PLANS)


def marks(printed: str) -> list[tuple[str, str]]:
    """The mark and the change of each row of a table."""
    rows = [line.split() for line in printed.splitlines() if re.match(r" [-+=.!]  ", line)]
    return [(row[0], " ".join(row[5:])) for row in rows]


def test_a_step_taken_out_is_cancelled_a_new_one_is_added_and_what_is_in_effect_stays(
    admin: Admin, tmp_path: Path
) -> None:
    admin.create_flag("edited")
    path = tmp_path / "edited.yaml"
    path.write_text(hours("edited"))
    admin.applied(path)
    moved = hours("edited").replace("PT6H", "PT7H")
    path.write_text(f"{moved}  - after: PT6H\n    updates: {{rolloutPercentage: 50}}\n")

    preview = admin.run("preview", str(path))
    done = admin.run("apply", "--yes", str(path))

    assert marks(preview.stdout) == [(".", "on, 5 %"), ("-", "25 %"), ("+", "25 %"), ("+", "50 %")]
    assert marks(done.stdout) == marks(preview.stdout)
    assert done.stdout.endswith("\nApplied plan 'edited': 2 added, 1 cancelled\n")
    assert list(admin.timeline("edited", "production").values()) == ["off 100 %", "on 5 %", "on 25 %", "on 50 %"]
    assert admin.run("apply", "--yes", str(path)).stdout.startswith("plan 'edited': nothing to do, ")


def test_a_preview_and_a_check_change_nothing(admin: Admin) -> None:
    admin.create_flag("previewed")
    plan = hours("previewed")

    preview = admin.run("preview", "-", given=plan)
    checks = [admin.run("apply", "-", "--check", *options, given=plan) for options in ([], ["--yes", "--json"])]

    assert preview.stdout.startswith("plan 'previewed' is new: 2 to add, 1 of them in effect at once\n")
    assert marks(preview.stdout) == [("+", "on, 5 %"), ("+", "25 %")]
    assert [(one.returncode, one.stderr) for one in (preview, *checks)] == [(0, ""), (2, ""), (2, "")]
    assert json.loads(checks[1].stdout)["created"]
    assert admin.plans("previewed") == []


def test_on_a_terminal_a_plan_is_applied_once_it_is_confirmed(admin: Admin, tmp_path: Path) -> None:
    admin.create_flag("confirmed")
    path = tmp_path / "confirmed.yaml"
    path.write_text(hours("confirmed"))

    no, refused = admin.run_on_terminal("apply", str(path), types="\n")
    before = admin.plans("confirmed")
    yes, applied = admin.run_on_terminal("apply", str(path), types="y\n")

    assert (no, before) == (1, [])
    assert "Apply? [y/N]" in refused
    assert refused.endswith("flagsched: nothing was changed\n")
    assert yes == 0
    assert "\x1b[32m +  " in applied
    assert applied.endswith("Applied plan 'confirmed': 2 added, 1 of them in effect at once\n")


def test_a_table_fits_the_terminal(admin: Admin, tmp_path: Path) -> None:
    admin.create_flag("wide")
    path = tmp_path / "wide.yaml"
    path.write_text(hours("wide") + "localTime: 2033-11-03T10:00\ntimeZone: America/New_York\n")

    _, printed = admin.run_on_terminal("preview", str(path), types="", columns=60)

    lines = re.sub(r"\x1b\[\d*m", "", printed).splitlines()
    assert max(map(len, lines)) <= 60
    assert " +  2033-11-03 14:00 UTC, 2033-11-03 10:00 America/New_York" in lines
    assert "      wide in production: on, 5 %" in lines


def test_without_a_terminal_nothing_is_applied_unless_it_says_yes(admin: Admin) -> None:
    refused = admin.run("apply", "-", given=hours("unasked"))

    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "flagsched: not applied: there is no terminal to ask on. Add --yes to apply, or --check to change nothing\n"
    )


GHOST = hours("ghost")
FAULTS = """\
name: faults
flags: [new-checkout]
steps:
  - updates: {enabled: on}
  - after: PT1.5H
    updates: {rolloutPercentage: 101}
colour: red
"""


def test_each_fault_of_a_file_is_shown_with_its_place(admin: Admin, tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(FAULTS)

    refused = admin.run("preview", str(path))

    assert (refused.returncode, refused.stdout) == (1, "")
    assert [line.removeprefix(f"{path}: ") for line in refused.stderr.splitlines()] == [
        "steps[0].updates.enabled: must be true or false (line 4)",
        "steps[1].after: must have whole numbers, like 'PT90M' (line 5)",
        "steps[1].updates.rolloutPercentage: must be an integer from 0 to 100 (line 6)",
        "colour: is not a field of this object (line 7)",
    ]


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        (GHOST, "flags[0]: flag 'ghost' does not exist in 'production' (line 2)\n"),
        (GHOST.replace("name: ghost\n", ""), "name: is required: by it the plan is found again"),
        (f"{GHOST}title: a: b\n", "line 7, column 9: mapping values are not allowed here\n"),
        (f"{GHOST}name: b\n", "line 7, column 1: 'name' appears twice in one mapping\n"),
    ],
    ids=["no flag", "no name", "syntax", "twice"],
)
def test_a_plan_that_cannot_be_is_refused_by_the_name_of_its_file(admin: Admin, plan: str, reason: str) -> None:
    refused = admin.run("apply", "--yes", "-", given=plan)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"stdin: {reason}")


def test_what_keeps_a_server_from_being_asked_is_told(admin: Admin) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    failures = {
        "no server": ({"FLAGSCHED_URL": nowhere}, f"no server answers at {nowhere}: Connection refused"),
        "no token": ({"FLAGSCHED_TOKEN": "e30.e30.e30"}, f"{admin.address} does not accept FLAGSCHED_TOKEN: 401 "),
        "wrong address": (
            {"FLAGSCHED_URL": f"{admin.address}/api/admin"},
            f"no flagsched that knows this is at {admin.address}/api/admin: 404 ",
        ),
        "bad address": ({"FLAGSCHED_URL": "flags"}, 'Environment variable "FLAGSCHED_URL" invalid'),
    }

    failed = {
        name: admin.run("preview", "-", given=hours("unsent"), **variables) for name, (variables, _) in failures.items()
    }

    assert {name: one.returncode for name, one in failed.items()} == dict.fromkeys(failures, 1)
    for name, (_, message) in failures.items():
        assert failed[name].stderr.startswith(f"flagsched: {message}"), name
