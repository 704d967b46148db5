"""Whoever is cut off after a COMMIT and before its answer does not know whether it was; asking again does no harm."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from time import monotonic

import pytest
import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.effective import EffectiveSchedule
from flagsched.domain.errors import DatabaseUnavailable
from flagsched.domain.idempotency import IdempotencyKey, StoredResponse
from flagsched.domain.schedules import PlannedChange
from flagsched.domain.updates import Updates
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.flags import create_flag, read_flag
from flagsched.usecases.idempotency import IdempotentRequest, Replayed
from flagsched.usecases.schedules import plan_schedules
from flagsched.worker.drain import Drain
from tests.builders import ADMIN, CHECKOUT, a_new_flag
from tests.faults.proxy import Proxy, through_proxy
from tests.poolers import POOLED_TOO
from tests.processes import until
from tests.rows import all_history, all_schedules

pytestmark = POOLED_TOO


@pytest.fixture
def proxied(postgresql_url: sa.URL) -> Iterator[tuple[SqlStore, Proxy]]:
    """A store that works through the proxy."""
    with through_proxy(postgresql_url) as (url, proxy):
        engine = open_engine(url, Limits())
        yield SqlStore(engine), proxy
        engine.dispose()


def plan(
    store: SqlStore, *, seconds: float, idempotent: IdempotentRequest[list[EffectiveSchedule]] | None = None
) -> None:
    with store.reading() as work:
        take_key = work.at + timedelta(seconds=seconds)
    changes = [PlannedChange(take_key + timedelta(milliseconds=n), Updates(rollout_percentage=n)) for n in range(50)]
    plan_schedules(CHECKOUT, changes, batch=True, by=ADMIN, store=store, idempotent=idempotent)


def test_a_worker_that_is_cut_off_records_nothing_twice(
    store: SqlStore, engine: sa.Engine, proxied: tuple[SqlStore, Proxy], all_is_well: Callable[[], bool]
) -> None:
    cut_off, proxy = proxied
    create_flag(a_new_flag(), by=ADMIN, store=store)
    plan(store, seconds=0.3)
    until(lambda: read_flag(CHECKOUT, store=store).state.version == 51)
    drain = Drain(cut_off)
    drain.backoff = Backoff(monotonic)

    proxy.cut_commits = True
    drain()

    assert proxy.cuts == 1
    assert drain() == []
    assert [e.action for e in all_history(engine)].count("schedule.applied") == 50
    assert all_is_well()


def test_a_client_that_repeats_its_request_with_its_key_gets_its_one_batch(
    store: SqlStore, engine: sa.Engine, proxied: tuple[SqlStore, Proxy], all_is_well: Callable[[], bool]
) -> None:
    cut_off, proxy = proxied
    create_flag(a_new_flag(), by=ADMIN, store=store)
    idempotent: IdempotentRequest[list[EffectiveSchedule]] = IdempotentRequest(
        IdempotencyKey.of("ada", "a-key", b"bulk"), lambda made: StoredResponse(201, {}, str(made[0].schedule.batch_id))
    )

    proxy.cut_commits = True
    with pytest.raises(DatabaseUnavailable):
        plan(cut_off, seconds=60, idempotent=idempotent)
    until(lambda: len(all_schedules(engine)) == 50, what="committed all the same")
    with pytest.raises(Replayed) as repeated:
        plan(cut_off, seconds=60, idempotent=idempotent)

    assert proxy.cuts == 1
    assert {str(s.batch_id) for s in all_schedules(engine)} == {repeated.value.response.body}
    assert len(all_schedules(engine)) == 50
    assert all_is_well()
