"""Writers on many flags at once, on PostgreSQL: two of them never wait for each other."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from threading import Barrier

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import FlagMissing
from flagsched.domain.flags import FlagEdit, FlagName
from flagsched.domain.history import flag_entry
from flagsched.domain.updates import Updates
from flagsched.usecases.flags import create_flag, read_flag
from flagsched.usecases.locks import lock_current, retry_when_overtaken
from tests.builders import ADMIN, a_new_flag
from tests.contract.postgresql.lock_waits import plan, soon
from tests.rows import all_history

ROUNDS = 200
NAMES = [FlagName(environment, f"flag-{n}") for environment in ("dev", "production") for n in range(4)]


@pytest.fixture(autouse=True)
def _flags(store: SqlStore) -> None:
    for name in NAMES:
        create_flag(a_new_flag(name.key, name.environment), by=ADMIN, store=store)


@retry_when_overtaken
def edit_all(store: SqlStore, names: Sequence[FlagName]) -> None:
    with store.writing() as work:
        locked, clock = lock_current(work, names)
        edited = [flag.edited(FlagEdit(Updates(enabled=not flag.state.enabled)), flag.now(clock)) for flag in locked]
        pairs = zip(locked, edited, strict=True)
        work.history.append([flag_entry(before, after, by=ADMIN, recorded_at=clock) for before, after in pairs])
        work.flags.change(edited, work.publish(dict.fromkeys(name.environment for name in names)))
        work.commit()


def test_writers_of_overlapping_flags_in_opposite_order_never_deadlock(
    store: SqlStore, in_background: Callable[..., "Future[object]"]
) -> None:
    together = Barrier(2)

    def work(names: Sequence[FlagName]) -> None:
        for _ in range(ROUNDS):
            together.wait(timeout=10)
            edit_all(store, names)

    writers = [in_background(work, NAMES[:6]), in_background(work, NAMES[:1:-1])]
    for writer in writers:
        writer.result(timeout=120)

    versions = [read_flag(name, store=store).state.version for name in NAMES]
    assert versions == [1 + ROUNDS] * 2 + [1 + 2 * ROUNDS] * 4 + [1 + ROUNDS] * 2


def test_what_is_in_effect_on_any_of_them_is_recorded_first(store: SqlStore, engine: sa.Engine) -> None:
    at = soon(store, 0.2)
    for name in NAMES[1:3]:
        plan(store, at, name=name)
    while soon(store, 0) <= at + timedelta(milliseconds=1):
        pass

    edit_all(store, NAMES[:4])

    told = [(one.flag_key, one.action) for one in all_history(engine) if one.environment == "dev"]
    assert sorted(told[-6:-4]) == [("flag-1", "schedule.applied"), ("flag-2", "schedule.applied")]
    assert told[-4:] == [(f"flag-{n}", "flag.updated") for n in range(4)]


def test_if_one_of_them_is_missing_nothing_is_locked_or_changed(store: SqlStore) -> None:
    with pytest.raises(FlagMissing, match="absent"):
        edit_all(store, [*NAMES, FlagName("dev", "absent")])

    assert {read_flag(name, store=store).state.version for name in NAMES} == {1}
