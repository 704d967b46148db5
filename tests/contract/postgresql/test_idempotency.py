"""Requests with one key at once, on PostgreSQL."""

from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.effective import EffectiveFlag
from flagsched.domain.errors import KeyInProgress, KeyReused
from flagsched.domain.idempotency import IdempotencyKey, StoredResponse
from flagsched.usecases.flags import create_flag
from flagsched.usecases.idempotency import IdempotentRequest, Replayed, take_key
from tests.builders import ADMIN, a_new_flag
from tests.contract.postgresql.lock_waits import waiting_for_locks
from tests.poolers import POOLED_TOO
from tests.processes import until
from tests.rows import count

pytestmark = POOLED_TOO
REQUEST = IdempotencyKey.of("ada", "a-key", b"POST", b"/flags", b"", b"{}")


FIRST: IdempotentRequest[object] = IdempotentRequest(REQUEST, lambda made: StoredResponse(201, {}, str(made)))


def create(store: SqlStore, request: IdempotencyKey = REQUEST) -> EffectiveFlag:
    idempotent: IdempotentRequest[EffectiveFlag] = IdempotentRequest(
        request, lambda made: StoredResponse(201, {}, str(made.flag.id))
    )
    return create_flag(a_new_flag("second"), by=ADMIN, store=store, idempotent=idempotent)


def test_an_equal_request_waits_for_the_first_and_gets_its_answer(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    with engine.begin() as somebody:
        somebody.exec_driver_sql("SELECT 1 FROM feature_flag_environments FOR UPDATE")
        first = in_background(create, store)
        until(lambda: waiting_for_locks(engine) == 1)
        second = in_background(create, store)
        until(lambda: waiting_for_locks(engine) == 2)

    made = first.result(timeout=5)
    with pytest.raises(Replayed) as repeated:
        second.result(timeout=5)
    assert isinstance(made, EffectiveFlag)
    assert repeated.value.response == StoredResponse(201, {}, str(made.flag.id))
    assert count(engine, "feature_flags") == 2


def test_an_equal_request_that_waits_for_too_long_is_told_so(store: SqlStore) -> None:
    with store.writing() as work:
        take_key(work, FIRST)
        began = monotonic()
        with pytest.raises(KeyInProgress):
            create(store)

    assert 2.5 < monotonic() - began < 4
    create(store)


def test_an_equal_request_takes_over_when_the_first_is_rolled_back(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    with store.writing() as work:
        take_key(work, FIRST)
        second = in_background(create, store)
        until(lambda: waiting_for_locks(engine) == 1)

    assert isinstance(second.result(timeout=5), EffectiveFlag)


def test_a_key_says_all_that_a_request_says(store: SqlStore) -> None:
    create(store)

    for said in [(b"PUT", b"/flags", b"", b"{}"), (b"POST", b"/flag", b"s", b"{}"), (b"POST", b"/flags", b"{}", b"")]:
        with pytest.raises(KeyReused):
            create(store, IdempotencyKey.of("ada", "a-key", *said))
