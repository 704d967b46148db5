"""What a lock hides from whom, and what a claim finds that looked before somebody else had recorded."""

from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic

import sqlalchemy as sa

from flagsched.database.clock import DatabaseClock
from flagsched.database.flags import FlagStatements
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.effective import EffectiveFlag
from flagsched.domain.flags import FlagEdit
from flagsched.domain.updates import Updates
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.flags import edit_flag, read_flag
from flagsched.usecases.materialise import Recorded, materialise_due
from tests.builders import ADMIN, CHECKOUT
from tests.contract.postgresql.lock_waits import plan, soon, waiting_for_locks
from tests.processes import until
from tests.rows import all_history


def turn_on(store: SqlStore) -> EffectiveFlag:
    return edit_flag(CHECKOUT, FlagEdit(Updates(enabled=True)), by=ADMIN, store=store)


def test_an_open_foreign_key_check_keeps_no_writer_waiting(store: SqlStore, engine: sa.Engine) -> None:
    with engine.begin() as somebody:
        somebody.exec_driver_sql("SELECT 1 FROM feature_flags FOR KEY SHARE")
        turn_on(store)

    assert read_flag(CHECKOUT, store=store).state.enabled


def test_a_change_that_had_to_wait_is_in_effect_only_from_its_lock_on(
    store: SqlStore, engine: sa.Engine, in_background: Callable[..., "Future[object]"]
) -> None:
    with store.writing() as work:
        work.flags.lock([CHECKOUT])
        turning_on = in_background(turn_on, store)
        until(lambda: waiting_for_locks(engine) == 1)
        still_off_at = soon(store, 0.1)
        until(lambda: soon(store, 0) > still_off_at)

    turning_on.result(timeout=5)
    changed = all_history(engine)[-1]
    assert min(changed.effective_at, changed.recorded_at) > still_off_at


def test_a_claim_that_looked_before_a_record_was_committed_finds_nothing_left_to_do(
    store: SqlStore, engine: sa.Engine
) -> None:
    at = soon(store, 0.2)
    plan(store, at)
    until(lambda: soon(store, 0) > at)
    claim_due = FlagStatements("postgresql", DatabaseClock()).claim_due
    asked = claim_due.params(passing_over=[], limit_=20)
    claim = asked.compile(engine, compile_kwargs={"literal_binds": True})

    with engine.begin() as claiming:
        # A cursor looks at its rows when it is declared, and locks each when it is fetched.
        claiming.exec_driver_sql(f"DECLARE claim CURSOR FOR {claim}")
        assert materialise_due(store, Backoff(monotonic)) == Recorded(1)
        claimed = claiming.exec_driver_sql("FETCH ALL FROM claim").all()

    assert claimed == []
