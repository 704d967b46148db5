"""A worker makes up for a long time without one while writers change the same flags: nobody waits for long."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest
import requests
import sqlalchemy as sa

from tests.faults.agendas import assert_recorded_once_in_order
from tests.faults.overdue import left, overdue
from tests.faults.readers import as_admin, look
from tests.processes import until, web, worker

FLAGS = 100
WRITERS = 4


@pytest.fixture
def each(request: pytest.FixtureRequest) -> int:
    """How many schedules of each flag are overdue."""
    return 1000 if request.config.getoption("--long") else 300


def write(address: str, over: Event) -> list[requests.Response]:
    """Edit and plan on flags at random until it is over."""
    answers = []
    with as_admin() as admin:
        while not over.is_set():
            flag = f"{address}/api/admin/flags/flag-{random.randint(1, FLAGS)}"
            if random.random() < 0.5:
                answers.append(admin.patch(flag, json={"description": "edited"}, timeout=10))
            else:
                tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
                body = {"scheduledAt": tomorrow, "updates": {"enabled": True}}
                answers.append(admin.post(f"{flag}/schedule", json=body, timeout=10))
    return answers


@contextmanager
def writing(address: str) -> Iterator[list[requests.Response]]:
    """Some writers as long as the block runs; gives what they were answered, once it is over."""
    answers: list[requests.Response] = []
    over = Event()
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write, address, over) for _ in range(WRITERS)]
        try:
            yield answers
        finally:
            over.set()
    for writer in writers:
        answers += writer.result()


def test_writers_on_flags_with_a_long_backlog_wait_little_while_a_worker_records_it(
    engine: sa.Engine, each: int, tmp_path: Path, all_is_well: Callable[[], bool]
) -> None:
    planned = overdue(engine, flags=FLAGS, each=each)

    with (
        web(engine.url, tmp_path / "web.log", FLAGSCHED_WRITES_PER_MINUTE="100000") as address,
        as_admin() as admin,
    ):
        seen = [look(admin, address, key) for key in random.sample(list(planned), 10)]
        with worker(engine.url, tmp_path / "worker.log"), writing(address) as answers:
            until(lambda: not left(engine), seconds=60, what="all is recorded")

    assert [(one.version, one.percentage) for one in seen] == [(1 + each, each % 101)] * 10
    assert len(answers) > 20
    assert {answer.status_code for answer in answers} == {200, 201}
    assert max(answer.elapsed for answer in answers) < timedelta(seconds=3)
    assert_recorded_once_in_order(engine, planned)
    assert all_is_well()
