"""Workers that are killed again and again while plans fall due and admins change their minds."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Thread
from uuid import UUID

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import AlreadyApplied, AlreadyCancelled
from flagsched.domain.flags import FlagName
from flagsched.domain.schedules import PlannedChange, ScheduleEdit, Status
from flagsched.domain.updates import Updates
from flagsched.ports import PlanQuery
from flagsched.usecases.flags import create_flag
from flagsched.usecases.schedules import cancel_schedule, edit_schedule, list_plans, plan_schedules
from tests.builders import ADMIN, a_new_flag
from tests.processes import ROOT, environment, until
from tests.rows import all_schedules

WORKERS = 4
EACH = 50
Planned = tuple[FlagName, UUID, datetime]
Outcomes = dict[UUID, tuple[str, datetime | None]]


@pytest.fixture
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    """Flags, and the seconds over which their schedules fall due."""
    return (600, 120) if request.config.getoption("--long") else (60, 6)


@contextmanager
def workers_under_fire(url: sa.URL) -> Iterator[None]:
    """Four workers; every 0.1 to 0.4 s one of them is killed, and another begins."""

    def begin() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "worker.py"],
            cwd=ROOT,
            env=environment(url, FLAGSCHED_POLL_SECONDS="0.1"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    workers = [begin() for _ in range(WORKERS)]
    over = Event()

    def fire() -> None:
        while not over.wait(random.uniform(0.1, 0.4)):
            victim = random.randrange(WORKERS)
            workers[victim].kill()
            workers[victim].wait()
            workers[victim] = begin()

    firing = Thread(target=fire)
    firing.start()
    try:
        yield
    finally:
        over.set()
        firing.join()
        for process in workers:
            process.terminate()
            process.wait(timeout=10)


def a_planned_flag(
    store: SqlStore, name: FlagName, begin: datetime, seconds: int
) -> list[tuple[FlagName, UUID, datetime]]:
    """A flag with fifty steps at random instants."""
    create_flag(a_new_flag(name.key), by=ADMIN, store=store)
    instants = (begin + timedelta(milliseconds=ms) for ms in random.sample(range(seconds * 1000), EACH))
    changes = [PlannedChange(at, Updates(rollout_percentage=n)) for n, at in enumerate(instants)]
    created = plan_schedules(name, changes, batch=True, by=ADMIN, store=store)
    return [(name, one.schedule.id, one.schedule.scheduled_at) for one in created]


def change_minds(store: SqlStore, planned: list[Planned]) -> Outcomes:
    """Cancel or move schedules, mostly shortly before their instants; give what was answered."""
    answered: Outcomes = {}
    for name, schedule_id, at in planned:
        with store.reading() as work:
            wait = (at - work.at).total_seconds() - random.uniform(-0.05, 0.3)
        Event().wait(max(0.0, min(wait, 8.0)))
        moved = at + timedelta(seconds=random.uniform(0.5, 2)) if random.random() < 0.5 else None
        try:
            if moved is None:
                cancel_schedule(name, schedule_id, by=ADMIN, store=store)
                answered[schedule_id] = ("cancelled", None)
            else:
                edited = edit_schedule(name, schedule_id, ScheduleEdit(moved), by=ADMIN, store=store)
                answered[schedule_id] = ("applied", edited.schedule.scheduled_at)
        except (AlreadyApplied, AlreadyCancelled):
            answered[schedule_id] = ("applied", at)
    return answered


def test_every_schedule_is_applied_or_cancelled_exactly_once_whoever_is_killed(
    store: SqlStore, engine: sa.Engine, postgresql_url: sa.URL, size: tuple[int, int], all_is_well: Callable[[], bool]
) -> None:
    flags, seconds = size
    with store.reading() as work:
        begin = work.at + timedelta(seconds=3)
    names = [FlagName("production", f"flag-{n}") for n in range(flags)]
    planned = [one for name in names for one in a_planned_flag(store, name, begin, seconds)]
    some = sorted(random.sample(planned, len(planned) // 20), key=lambda one: one[2])

    with workers_under_fire(postgresql_url), ThreadPoolExecutor(2) as admins:
        halves = [admins.submit(change_minds, store, some[half::2]) for half in (0, 1)]
        answered = {schedule_id: one for half in halves for schedule_id, one in half.result().items()}
        pending = PlanQuery("production", statuses=[Status.PENDING], limit=1)
        until(lambda: not list_plans(pending, store=store).items, seconds=seconds + 20, what="all is recorded")

    ended = {s.id: (s.status, s.scheduled_at) for s in all_schedules(engine)}
    assert len(ended) == flags * EACH
    assert {status for status, _ in ended.values()} == {"applied", "cancelled"}
    assert len({status for status, _ in answered.values()}) == 2
    for schedule_id, (status, at) in answered.items():
        assert ended[schedule_id] == (status, at or ended[schedule_id][1])
    assert all_is_well()
