"""Flags, on every database: what is stored, what is told, and that nothing acts before catching up."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import FlagExists, FlagMissing
from flagsched.domain.flags import FlagEdit, FlagName
from flagsched.domain.history import Actor
from flagsched.domain.updates import Updates
from flagsched.ports.flags import FlagQuery
from flagsched.snapshots.evaluation import evaluate_flag
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.usecases.flags import archive_flag, create_flag, edit_flag, list_flags, read_flag
from flagsched.usecases.schedules import plan_schedules
from tests.builders import ADMIN, CHECKOUT, NOON, ManualClock, a_change, a_new_flag, a_state, after
from tests.contract.records import told_now
from tests.rows import all_history, all_schedules, the_flag


def plan(store: SqlStore, *changes: tuple[float, dict[str, object]], name: FlagName = CHECKOUT) -> None:
    """Plan changes so many seconds after noon."""
    asked = [a_change(after(seconds), **updates) for seconds, updates in changes]
    plan_schedules(name, asked, batch=True, by=ADMIN, store=store)


def test_a_created_flag_is_told_as_it_is_read(store: SqlStore) -> None:
    created = create_flag(a_new_flag(enabled=True, rollout_percentage=30, description="why"), by=ADMIN, store=store)

    assert created == read_flag(CHECKOUT, store=store)
    assert created.state == a_state(enabled=True, percentage=30)
    assert created.flag.description == "why"


def test_a_key_is_taken_in_its_environment_only(store: SqlStore) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    create_flag(a_new_flag(environment="staging"), by=ADMIN, store=store)

    with pytest.raises(FlagExists, match="'new-checkout' already exists in 'staging'"):
        create_flag(a_new_flag(environment="staging"), by=ADMIN, store=store)


def test_a_flag_is_read_as_it_is_now_with_no_worker_alive(
    store: SqlStore, clock: ManualClock, refresher: SnapshotRefresher
) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    plan(store, (10, {"enabled": True, "rollout_percentage": 25}), (20, {"rollout_percentage": 100}))

    clock.advance(seconds=10)
    now = read_flag(CHECKOUT, store=store)

    assert now.state == a_state(enabled=True, percentage=25, version=2, changed_at=after(10))
    assert (now.materialized, now.next_change_at) == (False, after(20))
    assert not evaluate_flag("production", "new-checkout", None, refresher=refresher).evaluation.value
    clock.advance(seconds=10)
    assert evaluate_flag("production", "new-checkout", None, refresher=refresher).evaluation.value


def test_an_edit_first_writes_down_what_is_in_effect(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    plan(store, (10, {"enabled": True, "rollout_percentage": 25}), (20, {"rollout_percentage": 100}))
    clock.advance(seconds=15)

    edited = edit_flag(CHECKOUT, FlagEdit(Updates(rollout_percentage=5)), by=ADMIN, store=store)

    assert edited.state == a_state(enabled=True, percentage=5, version=3, changed_at=after(15))
    now = read_flag(CHECKOUT, store=store)
    assert (now.state, now.next_change_at) == (edited.state, edited.next_change_at)
    assert [(e.action, e.flag_version, e.effective_at) for e in all_history(engine)[-2:]] == [
        ("schedule.applied", 2, after(10)),
        ("flag.updated", 3, after(15)),
    ]
    assert the_flag(engine).next_due_at == after(20)


def test_an_edit_is_in_the_history_with_what_was_and_what_is(store: SqlStore, engine: sa.Engine) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)

    edit_flag(CHECKOUT, FlagEdit(Updates(enabled=True), "why"), by=Actor("bob", "request-2"), store=store)

    entry = all_history(engine)[-1]
    assert (entry.actor, entry.request_id, entry.action) == ("bob", "request-2", "flag.updated")
    assert entry.before == {"enabled": False, "rolloutPercentage": 100, "description": "", "archived": False}
    assert entry.after == {"enabled": True, "rolloutPercentage": 100, "description": "why", "archived": False}


def test_a_clock_set_back_reorders_nothing(store: SqlStore, clock: ManualClock) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    clock.advance(seconds=60)
    edit_flag(CHECKOUT, FlagEdit(Updates(enabled=True)), by=ADMIN, store=store)

    clock.advance(seconds=-50)
    edited = edit_flag(CHECKOUT, FlagEdit(Updates(rollout_percentage=5)), by=ADMIN, store=store)

    assert edited.state == a_state(enabled=True, percentage=5, version=3, changed_at=after(60))


def test_archiving_cancels_what_is_planned_and_says_so(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    plan(store, (10, {"enabled": True}), (20, {"enabled": False}), (30, {"enabled": True}))
    clock.advance(seconds=15)

    archive_flag(CHECKOUT, by=Actor("bob", "request-2"), store=store)

    assert [(s.status, s.cancelled_by) for s in all_schedules(engine)] == [
        ("applied", None),
        ("cancelled", "bob"),
        ("cancelled", "bob"),
    ]
    assert [e.action for e in all_history(engine)[4:]] == [
        "schedule.applied",
        "schedule.cancelled",
        "schedule.cancelled",
        "flag.archived",
    ]
    assert the_flag(engine).next_due_at is None


def test_an_archived_flag_is_gone(store: SqlStore) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    archive_flag(CHECKOUT, by=ADMIN, store=store)

    for attempt in (
        lambda: read_flag(CHECKOUT, store=store),
        lambda: edit_flag(CHECKOUT, FlagEdit(description="x"), by=ADMIN, store=store),
        lambda: archive_flag(CHECKOUT, by=ADMIN, store=store),
        lambda: plan(store, (10, {"enabled": True})),
    ):
        with pytest.raises(FlagMissing):
            attempt()
    assert told_now(store).flags == {}


def test_flags_are_listed_by_key_page_by_page(store: SqlStore) -> None:
    keys = ["B", "a", "a-1", "a.1", "a1", "b", "z_9"]
    for key in reversed(keys):
        create_flag(a_new_flag(key), by=ADMIN, store=store)
    create_flag(a_new_flag("elsewhere", environment="staging"), by=ADMIN, store=store)

    first = list_flags(FlagQuery("production", limit=4), store=store)
    rest = list_flags(FlagQuery("production", after=first.items[-1].flag.name.key, limit=4), store=store)

    assert [one.flag.name.key for one in (*first.items, *rest.items)] == sorted(keys)
    assert (first.more, rest.more) == (True, False)


def test_flags_are_searched_by_a_part_of_their_key_to_the_letter(store: SqlStore) -> None:
    for key in ("check_out", "checkXout", "Check_Out-2", "other"):
        create_flag(a_new_flag(key), by=ADMIN, store=store)

    found = list_flags(FlagQuery("production", search="check_"), store=store)

    assert [one.flag.name.key for one in found.items] == ["Check_Out-2", "check_out"]


def test_listed_flags_are_as_they_are_now(store: SqlStore, clock: ManualClock) -> None:
    create_flag(a_new_flag("a"), by=ADMIN, store=store)
    create_flag(a_new_flag("b"), by=ADMIN, store=store)
    plan(store, (10, {"enabled": True}), name=FlagName("production", "b"))

    clock.at = NOON + timedelta(seconds=10)

    assert [one.state.enabled for one in list_flags(FlagQuery("production"), store=store).items] == [False, True]


def test_each_change_raises_the_revision_of_its_environment_and_no_other(
    store: SqlStore, engine: sa.Engine, clock: ManualClock
) -> None:
    def revisions() -> dict[str, int]:
        with engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT name, revision FROM feature_flag_environments")
            return {row.name: row.revision for row in rows}

    create_flag(a_new_flag(), by=ADMIN, store=store)
    create_flag(a_new_flag(environment="staging"), by=ADMIN, store=store)
    plan(store, (10, {"enabled": True}))
    edit_flag(CHECKOUT, FlagEdit(description="x"), by=ADMIN, store=store)
    clock.advance(seconds=10)
    archive_flag(CHECKOUT, by=ADMIN, store=store)

    assert revisions() == {"production": 4, "staging": 1}
