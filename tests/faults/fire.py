"""Workers under fire, and admins who change their minds meanwhile."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Event, Thread
from uuid import UUID

import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import AlreadyApplied, AlreadyCancelled
from flagsched.domain.flags import FlagName
from flagsched.domain.schedules import PlannedChange, ScheduleEdit
from flagsched.domain.updates import Updates
from flagsched.usecases.flags import create_flag
from flagsched.usecases.schedules import cancel_schedule, edit_schedule, plan_schedules
from tests.builders import ADMIN, a_new_flag
from tests.processes import ROOT, Running, environment

EACH = 50
PendingSchedule = tuple[FlagName, UUID, datetime]
Outcomes = dict[UUID, tuple[str, datetime | None]]


def begin_worker(url: sa.URL, log: Path) -> Running:
    """`python worker.py`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "worker.py"],
            cwd=ROOT,
            env=environment(url, FLAGSCHED_POLL_SECONDS="0.1"),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return Running(process, log)


@contextmanager
def workers_under_fire(url: sa.URL, folder: Path, number: int = 4) -> Iterator[None]:
    """Some workers; every 0.1 to 0.4 s one of those that have begun to work is killed, and another begins."""
    logs = (folder / f"worker-{n}.log" for n in count())
    workers = [begin_worker(url, next(logs)) for _ in range(number)]
    over = Event()

    def fire() -> None:
        while not over.wait(random.uniform(0.1, 0.4)):
            if at_work := [n for n, worker in enumerate(workers) if "worker started" in worker.log]:
                victim = random.choice(at_work)
                workers[victim].stop(signal.SIGKILL)
                workers[victim] = begin_worker(url, next(logs))

    firing = Thread(target=fire)
    firing.start()
    try:
        yield
    finally:
        over.set()
        firing.join()
        for worker in workers:
            worker.stop()


def a_planned_flag(store: SqlStore, name: FlagName, begin: datetime, seconds: int) -> list[PendingSchedule]:
    """A flag with fifty steps at random instants."""
    create_flag(a_new_flag(name.key), by=ADMIN, store=store)
    instants = (begin + timedelta(milliseconds=ms) for ms in random.sample(range(seconds * 1000), EACH))
    changes = [PlannedChange(at, Updates(rollout_percentage=n)) for n, at in enumerate(instants)]
    created = plan_schedules(name, changes, batch=True, by=ADMIN, store=store)
    return [(name, one.schedule.id, one.schedule.scheduled_at) for one in created]


def change_minds(store: SqlStore, planned: list[PendingSchedule]) -> Outcomes:
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
