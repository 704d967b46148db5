"""`flagsched doctor`, as an operator runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.flags import create_flag
from tests.builders import ADMIN, a_new_flag
from tests.processes import ROOT, environment


def doctor(url: sa.URL, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flagsched", "doctor", *arguments],
        cwd=ROOT, env=environment(url, **variables), capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _a_flag(engine: sa.Engine) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=SqlStore(engine))


def test_the_doctor_says_that_all_is_well(url: sa.URL) -> None:
    told = doctor(url)

    assert (told.returncode, told.stderr) == (0, "")
    assert {line.split()[0] for line in told.stdout.splitlines()} == {"ok"}
    assert "the web process has valid settings" in told.stdout


def test_the_doctor_finds_what_is_broken_and_repairs_it(url: sa.URL, engine: sa.Engine) -> None:
    with engine.begin() as somebody:
        somebody.exec_driver_sql("UPDATE feature_flags SET next_due_at = created_at")

    broken = doctor(url, "--json")
    repaired = doctor(url, "--repair", "--json")
    again = doctor(url)

    assert (broken.returncode, repaired.returncode, again.returncode) == (1, 0, 0)
    found = json.loads(broken.stdout)
    assert not found["ok"]
    assert [f["examples"] for f in found["findings"] if not f["ok"]] == [["production/new-checkout"]]
    assert json.loads(repaired.stdout)["ok"]
    assert "repair" in {f["check"] for f in json.loads(repaired.stdout)["findings"]}


def test_the_doctor_names_a_wrong_setting_and_looks_on(url: sa.URL) -> None:
    told = doctor(url, JWT_SECRET_KEY="short")

    assert told.returncode == 1
    assert 'WRONG settings: web: Environment variable "JWT_SECRET_KEY" invalid' in told.stdout
    assert "short" not in told.stdout
    assert "each schedule of a plan has its plan" in told.stdout


def test_the_doctor_says_that_the_database_is_away() -> None:
    told = doctor(sa.make_url("postgresql://nobody@127.0.0.1:1/none"), "--repair")

    assert told.returncode == 1
    assert "WRONG schema: the database does not answer" in told.stdout
    assert "Traceback" not in told.stderr


def test_a_misspelt_path_makes_no_empty_database(tmp_path: Path) -> None:
    missing = tmp_path / "mispelt.db"

    told = doctor(sa.make_url(f"sqlite:///{missing}"), "--repair")

    assert told.returncode == 1
    assert f"there is no file {missing}; 'flagsched db upgrade' makes it" in told.stdout
    assert not missing.exists()


def test_the_doctor_names_what_no_process_reads_and_what_gunicorn_cannot_use(url: sa.URL) -> None:
    told = doctor(url, FLAGSCHED_POL_SECONDS="1", PORT="'8000'")

    assert told.returncode == 1
    assert "WRONG settings: FLAGSCHED_POL_SECONDS is not a setting: is FLAGSCHED_POLL_SECONDS meant?" in told.stdout
    assert 'WRONG settings: gunicorn: Environment variable "PORT" invalid: is in quotes' in told.stdout


def test_the_doctor_refuses_a_url_by_name_before_anything_connects(url: sa.URL) -> None:
    told = doctor(url, DATABASE_URL="postgresql://app:s3cret@127.0.0.1:1/x?target_session_attrs=any")

    assert told.returncode == 1
    assert (
        'WRONG settings: web: Environment variable "DATABASE_URL" invalid: [\'has target_session_attrs' in told.stdout
    )
    assert "schema" not in told.stdout
    assert "s3cret" not in told.stdout + told.stderr


def test_the_doctor_says_that_the_rate_storage_is_away(url: sa.URL) -> None:
    told = doctor(url, FLAGSCHED_RATE_STORAGE="redis://:s3cret@127.0.0.1:1")

    assert told.returncode == 1
    assert "WRONG rates: the rate storage does not answer: each process counts alone" in told.stdout
    assert "s3cret" not in told.stdout + told.stderr
