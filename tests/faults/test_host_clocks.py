"""Hosts whose clocks are minutes off decide as all others do: PostgreSQL's clock is the only one that counts."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from tests.faults.agendas import all_applied, create, in_steps, lateness, now
from tests.faults.readers import as_admin, assert_seen_at_its_instant, look, watching
from tests.processes import until, web, worker

SKEWED = ("-m", "tests.faults.skewed")
KEY = "new-checkout"


def planned(admin: requests.Session, address: str, at: datetime, percentage: int) -> requests.Response:
    body: dict[str, Any] = {"scheduledAt": at.isoformat(), "updates": {"rolloutPercentage": percentage}}
    return admin.post(f"{address}/api/admin/flags/{KEY}/schedule", json=body, timeout=10)


@pytest.mark.parametrize("seconds", ["600", "-600"])
def test_a_host_whose_clock_is_ten_minutes_off_decides_and_records_as_all_others(
    seconds: str,
    store: SqlStore,
    engine: sa.Engine,
    tmp_path: Path,
    all_is_well: Callable[[], bool],
) -> None:
    create(store, KEY)

    with (
        web(engine.url, tmp_path / "web.log", arguments=(*SKEWED, seconds, "web")) as address,
        worker(engine.url, tmp_path / "worker.log", arguments=(*SKEWED, seconds, "worker")) as running,
        as_admin() as admin,
    ):
        steps = in_steps(now(store) + timedelta(seconds=1.5), 8, apart=0.25)
        accepted = [planned(admin, address, at, percentage) for at, percentage in steps]
        refused = [planned(admin, address, now(store) - timedelta(seconds=ago), 99) for ago in (0.01, 1, 599)]
        with watching(address, KEY) as seen:
            until(lambda: all_applied(engine), what="all is recorded")
        seen[KEY].append(look(admin, address, KEY))
        said_at = datetime.fromisoformat(json.loads(running.log.splitlines()[0])["timestamp"])

    assert abs(said_at - datetime.now(UTC) - timedelta(seconds=float(seconds))) < timedelta(seconds=60)
    assert [answer.status_code for answer in accepted] == [201] * 8
    assert [(answer.status_code, answer.json()["details"]) for answer in refused] == [
        (400, {"scheduledAt": ["must be in the future"]})
    ] * 3
    assert_seen_at_its_instant(seen[KEY], steps)
    assert len({one.version for one in seen[KEY]}) == 9
    assert lateness(engine, [KEY])[-1] < timedelta(seconds=2)
    assert all_is_well()
