"""Holds and real processes on PostgreSQL: what readers are told while one is placed, stands and ends."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.holds import NewHold, Release
from flagsched.usecases.holds import hold_environment, hold_flag, release_hold
from tests.builders import ADMIN
from tests.faults.agendas import create, in_steps, named, now, plan
from tests.faults.readers import as_admin
from tests.faults.sdks import Told, asking
from tests.faults.test_readers import (
    KNOWN_SECONDS,
    all_recorded,
    assert_told_at_its_instant,
    plan_one,
    two_webs,
    wait_until,
)
from tests.processes import until, worker
from tests.rows import all_history, all_schedules


def test_two_processes_change_at_the_end_of_a_freeze_with_no_worker(
    store: SqlStore, engine: sa.Engine, tmp_path: Path
) -> None:
    create(store, "a", "b")

    with two_webs(engine.url, tmp_path) as addresses:
        begin = now(store) + timedelta(seconds=1)
        end = begin + timedelta(seconds=1)
        freeze = NewHold("holidays", begin, end, refuses_edits=True)
        hold_environment("production", freeze, by=ADMIN, store=store)
        for key in ("a", "b"):
            plan(store, key, in_steps(begin + timedelta(seconds=0.1), 5, apart=0.1))
        wait_until(store, begin - timedelta(seconds=0.2))
        with asking(*addresses) as told:
            wait_until(store, end + timedelta(seconds=0.3))

    assert len(told) > 300
    assert {(one.versions["a"], one.versions["b"]) for one in told} == {(1, 1), (6, 6)}
    assert_all_at_once(told, end)


def assert_all_at_once(told: Sequence[Told], at: datetime) -> None:
    assert [one for one in told if one.answered_at < at and one.versions["a"] != 1] == []
    assert [one for one in told if one.asked_at >= at and one.versions["a"] == 1] == []


def test_a_worker_that_was_dead_over_a_freeze_records_all_of_it_in_order(
    store: SqlStore, engine: sa.Engine, tmp_path: Path
) -> None:
    create(store, "a")
    begin = now(store) + timedelta(seconds=0.6)
    end = begin + timedelta(seconds=0.6)
    hold_environment("production", NewHold("holidays", begin, end, refuses_edits=True), by=ADMIN, store=store)
    steps = in_steps(begin - timedelta(seconds=0.2), 10, apart=0.1)
    plan(store, "a", steps)
    wait_until(store, end + timedelta(seconds=0.3))

    with worker(engine.url, tmp_path / "worker.log"):
        until(lambda: all_recorded(engine, steps[-1][0]), what="all is recorded")

    applied = [entry for entry in all_history(engine) if entry.action == "schedule.applied"]
    assert [(entry.flag_version, entry.after["rolloutPercentage"]) for entry in applied] == [
        (n + 2, n) for n in range(10)
    ]
    assert [entry.effective_at for entry in applied] == [at if at < begin else max(at, end) for at, _ in steps]


def test_a_hold_placed_just_before_a_step_is_honoured_by_every_answer_or_begins_after_it(
    store: SqlStore, engine: sa.Engine, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rounds = 500 if request.config.getoption("--long") else 60
    create(store, "a")
    rounds_at: list[tuple[datetime, datetime, datetime]] = []

    with two_webs(engine.url, tmp_path) as addresses, asking(*addresses) as told:
        for _ in range(rounds):
            at = now(store) + timedelta(seconds=0.25)
            plan_one(store, "a", at)
            wait_until(store, at - timedelta(seconds=random.uniform(0.01, 0.12)))
            placed = hold_flag(named("a"), NewHold("it burns"), by=ADMIN, store=store).hold
            rounds_at.append((at, placed.starts_at, now(store)))
            wait_until(store, at + timedelta(seconds=0.05))
            release_hold(placed.id, Release.SKIP, by=ADMIN, store=store)

    applied = [entry.effective_at for entry in all_history(engine) if entry.action == "schedule.applied"]
    # On a tie, to the millisecond, the step came before the hold or did not.
    assert [
        at for at, held_at, _ in rounds_at if (at in applied and held_at < at) or (at not in applied and held_at > at)
    ] == []
    assert [one.status for one in all_schedules(engine)].count("skipped") == rounds - len(applied) > 0
    # Seen in effect for the length of that COMMIT, and until it is known.
    doubtful = [
        (at, committed_at + timedelta(seconds=KNOWN_SECONDS))
        for at, _, committed_at in rounds_at
        if at not in applied and committed_at >= at
    ]
    certain = [t for t in told if not any(a <= t.answered_at and t.asked_at <= b for a, b in doubtful)]
    assert len(certain) > 100
    assert_told_at_its_instant(certain, applied)


def test_the_red_button_keeps_a_flag_off_in_every_process_and_a_shift_keeps_the_distances_of_its_ramp(
    store: SqlStore, engine: sa.Engine, tmp_path: Path
) -> None:
    create(store, "a")
    asked = {"reason": "it burns", "updates": {"enabled": False}}

    with two_webs(engine.url, tmp_path) as (one, two), as_admin() as admin:
        steps = in_steps(now(store) + timedelta(seconds=1.2), 4, apart=0.5)
        body = [
            {"scheduledAt": at.isoformat(), "updates": {"enabled": True, "rolloutPercentage": n}} for at, n in steps
        ]
        posted(admin, f"{one}/api/admin/flags/a/schedule/bulk", {"schedules": body})
        wait_until(store, steps[0][0] + timedelta(seconds=0.2))
        pressed_at = now(store)
        hold = posted(admin, f"{one}/api/admin/flags/a/holds", asked)
        until(lambda: is_off(admin, two), seconds=KNOWN_SECONDS)
        while now(store) < steps[-1][0] + timedelta(seconds=0.2):
            assert is_off(admin, one)
            assert is_off(admin, two)
        posted(admin, f"{two}/api/admin/holds/{hold['id']}/release", {"then": "shift"}, status=200)
        shifted = admin.get(f"{one}/api/admin/flags/a/schedule?status=pending", timeout=10).json()

    assert datetime.fromisoformat(hold["from"]) >= pressed_at.replace(microsecond=0)
    instants = [datetime.fromisoformat(schedule["scheduledAt"]) for schedule in shifted]
    assert [schedule["updates"]["rolloutPercentage"] for schedule in shifted] == [1, 2, 3]
    assert [later - earlier for earlier, later in pairwise(instants)] == [timedelta(seconds=0.5)] * 2
    assert instants[0] > steps[-1][0]


def posted(admin: requests.Session, address: str, body: object, *, status: int = 201) -> dict[str, str]:
    answer = admin.post(address, json=body, timeout=10)
    assert answer.status_code == status, answer.text
    told: dict[str, str] = answer.json()
    return told


def is_off(admin: requests.Session, address: str) -> bool:
    answer = admin.get(f"{address}/api/config/flags/a", timeout=10)
    assert answer.status_code == 200
    return answer.json()["enabled"] is False
