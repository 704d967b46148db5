"""Overrides that schedules set: in effect at their instants with no worker, and the same once they are recorded."""

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from flagsched.database.schema.tables import overrides, schedules
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import OverrideMissing, TooManyOverrides
from flagsched.domain.history import Action, Actor, StoredEntry
from flagsched.domain.overrides import MAX_OVERRIDES, NewOverride, Override, OverrideChange, OverrideType
from flagsched.domain.schedules import PlannedChange, ScheduleEdit
from flagsched.domain.updates import UnreadableUpdates, Updates
from flagsched.ports.history import HistoryQuery
from flagsched.ports.overrides import OverrideQuery
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.doctor import examine
from flagsched.usecases.flags import archive_flag, create_flag, read_flag
from flagsched.usecases.history import list_history
from flagsched.usecases.overrides import list_overrides, read_override, remove_override, set_override
from flagsched.usecases.schedules import cancel_schedule, edit_schedule, plan_schedules, read_schedule
from flagsched.usecases.timeline import preview_schedules, read_timeline
from flagsched.usecases.undo import undo_entry, undo_plan
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_change, a_new_flag, after, an_override_change
from tests.contract.records import drain, named, told_now
from tests.recorder import recorded
from tests.rows import all_history, all_schedules, count, the_flag

BOB = Actor("bob", "request-2")
DAY = 24 * 60 * 60
PEOPLE = ("ada", "bob", "carol", None)
ADA_IN, ADA_OUT = OverrideChange("ada", OverrideType.INCLUDE), OverrideChange("ada", None)


@pytest.fixture(autouse=True)
def _a_flag(store: SqlStore) -> None:
    create_flag(a_new_flag(enabled=True, rollout_percentage=0), by=ADMIN, store=store)


def plan(store: SqlStore, *changes: PlannedChange, by: Actor = ADMIN) -> list[Any]:
    return [one.schedule for one in plan_schedules(CHECKOUT, changes, batch=True, by=by, store=store)]


def listed(store: SqlStore, limit: int = 50) -> list[Override]:
    """All overrides, a page after the other."""
    page = list_overrides(CHECKOUT, OverrideQuery(limit=limit), store=store)
    found = [*page.items]
    while page.more:
        page = list_overrides(CHECKOUT, OverrideQuery(after=found[-1].user_id, limit=limit), store=store)
        found += page.items
    return found


def values(store: SqlStore) -> list[bool]:
    """What applications are told of each of PEOPLE."""
    flag = told_now(store).flags[CHECKOUT.key]
    return [flag.evaluate(who).value for who in PEOPLE]


def reads(store: SqlStore) -> Any:
    """All that readers are told, but for what recording is meant to move."""
    told, flag = told_now(store), read_flag(CHECKOUT, store=store)
    timeline = read_timeline(CHECKOUT, None, None, store=store)
    segments = [(s.start, s.end, s.state.version, s.state.enabled, s.cause) for s in timeline.segments]
    return told.tag, told.until, values(store), listed(store), flag.state.version, flag.next_change_at, segments


def test_a_user_is_let_in_three_days_before_all_others_and_forgotten_then_with_no_worker_alive(
    store: SqlStore, clock: ManualClock
) -> None:
    launch = after(5 * DAY)
    plan(store, an_override_change(after(2 * DAY), "ada", "include"), by=BOB)
    plan(store, an_override_change(launch, "ada", "remove"), a_change(after(5 * DAY + 1), rollout_percentage=100))
    seen = [(values(store)[0], read_flag(CHECKOUT, store=store).next_change_at)]

    clock.at = after(2 * DAY)
    seen.append((values(store)[0], read_flag(CHECKOUT, store=store).next_change_at))
    (told,) = listed(store)
    assert told == read_override(CHECKOUT, "ada", store=store)
    assert (told.kind, told.reason, told.created_by, told.created_at) == ("include", "planned", "bob", clock.at)
    clock.at = launch
    seen.append((values(store)[0], read_flag(CHECKOUT, store=store).next_change_at))

    assert seen == [(False, after(2 * DAY)), (True, launch), (False, after(5 * DAY + 1))]
    assert listed(store) == []
    with pytest.raises(OverrideMissing):
        read_override(CHECKOUT, "ada", store=store)


def test_reads_are_the_same_before_and_after_recording(store: SqlStore, clock: ManualClock, backoff: Backoff) -> None:
    for user, kind in (("ada", OverrideType.EXCLUDE), ("carol", OverrideType.INCLUDE)):
        set_override(CHECKOUT, NewOverride(user, kind, "by hand"), by=BOB, store=store)
    plan(
        store,
        an_override_change(after(1), "bob", "include"),
        an_override_change(after(2), "ada", "include"),
        an_override_change(after(3), "carol", "remove"),
        an_override_change(after(4), "nobody", "remove"),
        an_override_change(after(5), "bob", "exclude"),
        a_change(after(6), enabled=False),
        an_override_change(after(9), "ada", "remove"),
    )

    for second in range(1, 10):
        clock.at = after(second)
        unrecorded = reads(store)
        if second % 3 == 0:
            drain(store, backoff)
            assert reads(store) == unrecorded
            assert read_flag(CHECKOUT, store=store).materialized

    assert [(one.user_id, one.kind) for one in listed(store)] == [("bob", "exclude")]
    assert the_flag_is_well(store, clock)


def the_flag_is_well(store: SqlStore, clock: ManualClock) -> bool:
    return [finding for finding in examine(store, clock.at) if not finding.ok] == []


def test_what_is_recorded_is_told_in_the_history_with_what_was_before(
    store: SqlStore, engine: sa.Engine, clock: ManualClock, backoff: Backoff
) -> None:
    set_override(CHECKOUT, NewOverride("ada", OverrideType.EXCLUDE), by=BOB, store=store)
    planned = plan(
        store, an_override_change(after(1), "ada", "include"), an_override_change(after(2), "bob", "remove"), by=BOB
    )
    clock.advance(seconds=5)

    drain(store, backoff)

    settings = {"enabled": True, "rolloutPercentage": 0}
    assert [
        (e.action, e.schedule_id, e.flag_version, e.before, e.after, e.actor) for e in all_history(engine)[-2:]
    ] == [
        (
            "schedule.applied",
            planned[0].id,
            2,
            settings | {"override": {"userId": "ada", "set": "exclude"}},
            settings | {"override": {"userId": "ada", "set": "include"}},
            "flagsched",
        ),
        (
            "schedule.applied",
            planned[1].id,
            3,
            settings | {"override": {"userId": "bob", "set": "remove"}},
            settings | {"override": {"userId": "bob", "set": "remove"}},
            "flagsched",
        ),
    ]
    created = next(e for e in all_history(engine) if e.action == "schedule.created")
    assert created.after == {
        "scheduledAt": "2096-06-01T12:00:01Z",
        "override": {"userId": "ada", "set": "include"},
        "status": "pending",
    }
    assert (the_flag(engine).version, [s.status for s in all_schedules(engine)]) == (3, ["applied"] * 2)


def test_a_list_is_whole_and_in_order_whatever_is_not_recorded(store: SqlStore, clock: ManualClock) -> None:
    for user in "bcdfh":
        set_override(CHECKOUT, NewOverride(user, OverrideType.EXCLUDE), by=BOB, store=store)
    plan(
        store,
        *(an_override_change(after(n), user, "remove") for n, user in enumerate("bdz", start=1)),
        *(an_override_change(after(n), user, "include") for n, user in enumerate("aegfi", start=4)),
    )

    clock.advance(seconds=10)

    expected = [(user, "exclude" if user in "ch" else "include") for user in "acefghi"]
    for limit in (1, 2, 3, 50):
        assert [(one.user_id, one.kind) for one in listed(store, limit)] == expected


def test_an_edit_by_hand_comes_after_what_is_in_effect(store: SqlStore, engine: sa.Engine, clock: ManualClock) -> None:
    plan(store, an_override_change(after(1), "ada"), an_override_change(after(2), "bob"))
    clock.advance(seconds=3)

    set_override(CHECKOUT, NewOverride("ada", OverrideType.EXCLUDE, "by hand"), by=BOB, store=store)
    remove_override(CHECKOUT, "bob", by=BOB, store=store)

    assert [(one.user_id, one.kind, one.reason) for one in listed(store)] == [("ada", "exclude", "by hand")]
    planned = {"userId": "ada", "override": "include", "reason": "planned"}
    assert [(e.action, e.before) for e in all_history(engine)[-2:]] == [
        ("override.set", planned),
        ("override.removed", planned | {"userId": "bob"}),
    ]
    assert the_flag_is_well(store, clock)


def test_a_cancelled_one_never_takes_effect(store: SqlStore, clock: ManualClock, backoff: Backoff) -> None:
    (planned,) = plan(store, an_override_change(after(10), "ada"))

    cancelled = cancel_schedule(CHECKOUT, planned.id, by=BOB, store=store)

    assert cancelled.schedule.updates == ADA_IN
    clock.advance(seconds=20)
    drain(store, backoff)
    assert (values(store)[0], listed(store)) == (False, [])


@pytest.mark.parametrize(
    ("was", "becomes"),
    [(ADA_IN, Updates(rollout_percentage=100)), (Updates(rollout_percentage=100), ADA_IN), (ADA_IN, ADA_OUT)],
    ids=["to updates", "from updates", "to another"],
)
def test_an_edit_replaces_the_one_by_the_other(
    store: SqlStore, clock: ManualClock, was: Any, becomes: Any, backoff: Backoff
) -> None:
    (planned,) = plan(store, PlannedChange(after(10), was))

    edit_schedule(CHECKOUT, planned.id, ScheduleEdit(updates=becomes), by=BOB, store=store)

    assert read_schedule(CHECKOUT, planned.id, store=store).schedule.updates == becomes
    clock.advance(seconds=10)
    expected = becomes != ADA_OUT
    assert values(store)[0] == expected
    drain(store, backoff)
    assert (values(store)[0], len(listed(store))) == (expected, int(becomes == ADA_IN))
    assert the_flag_is_well(store, clock)


def test_an_archived_flag_keeps_what_was_in_effect_and_nothing_that_was_planned(
    store: SqlStore, engine: sa.Engine, clock: ManualClock
) -> None:
    plan(store, an_override_change(after(1), "ada"), an_override_change(after(9), "bob"))
    clock.advance(seconds=5)

    archive_flag(CHECKOUT, by=ADMIN, store=store)

    assert [s.status for s in all_schedules(engine)] == ["applied", "cancelled"]
    assert count(engine, "feature_flag_overrides") == 1
    assert the_flag_is_well(store, clock)


def test_a_preview_and_a_timeline_name_what_begins_a_segment_in_which_only_an_override_differs(
    store: SqlStore, engine: sa.Engine
) -> None:
    (planned,) = plan(store, an_override_change(after(10), "ada"))
    drafts = [an_override_change(after(5), "ada", "exclude"), an_override_change(after(20), "bob", "exclude")]

    preview = preview_schedules(CHECKOUT, drafts, store=store)

    causes = [(s.cause.schedule_id, s.cause.draft, s.state.version) for s in preview.segments[1:]]
    assert causes == [(None, 0, 2), (planned.id, None, 3), (None, 1, 4)]
    assert {(s.state.enabled, s.state.rollout_percentage) for s in preview.segments} == {(True, 0)}
    assert [one.schedule.id for one in preview.conflicts] == [planned.id]
    assert count(engine, "feature_flag_schedules") == 1
    assert [s.cause.schedule_id for s in read_timeline(CHECKOUT, None, None, store=store).segments] == [
        None,
        planned.id,
    ]


def set_others_apart(engine: sa.Engine, number: int) -> None:
    row = {"flag_id": the_flag(engine).id, "override_type": "include", "reason": "", "created_by": "ada"}
    with engine.begin() as connection:
        rows = [row | {"user_id": f"user-{n}", "created_at": after(0)} for n in range(number)]
        connection.execute(sa.insert(overrides), rows)


def test_those_that_are_planned_count_among_the_most_that_a_flag_may_have(store: SqlStore, engine: sa.Engine) -> None:
    set_others_apart(engine, MAX_OVERRIDES - 3)
    set_override(CHECKOUT, NewOverride("ada", OverrideType.INCLUDE), by=BOB, store=store)
    planned = plan(store, an_override_change(after(1), "bob"), an_override_change(after(2), "carol", "exclude"))
    one_more = [an_override_change(after(5), "dan")]

    with pytest.raises(TooManyOverrides, match="'new-checkout' may have 10000 overrides at most"):
        plan(store, *one_more)
    with pytest.raises(TooManyOverrides):
        preview_schedules(CHECKOUT, one_more, store=store)
    with pytest.raises(TooManyOverrides):
        set_override(CHECKOUT, NewOverride("dan", OverrideType.INCLUDE), by=BOB, store=store)
    # Those who are set apart already, or are planned to be, are no more of them; nor are those who are no longer.
    plan(store, an_override_change(after(6), "ada", "exclude"), an_override_change(after(7), "bob", "remove"))
    set_override(CHECKOUT, NewOverride("bob", OverrideType.INCLUDE), by=BOB, store=store)
    plan(store, an_override_change(after(8), "dan", "remove"))
    (other,) = plan(store, a_change(after(9)))
    dan = ScheduleEdit(updates=OverrideChange("dan", OverrideType.INCLUDE))
    with pytest.raises(TooManyOverrides):
        edit_schedule(CHECKOUT, other.id, dan, by=BOB, store=store)
    edit_schedule(CHECKOUT, planned[1].id, dan, by=BOB, store=store)


def test_an_undo_leaves_room_for_those_that_are_planned(store: SqlStore, engine: sa.Engine) -> None:
    set_others_apart(engine, MAX_OVERRIDES - 1)
    set_override(CHECKOUT, NewOverride("ada", OverrideType.INCLUDE), by=BOB, store=store)
    remove_override(CHECKOUT, "ada", by=BOB, store=store)
    (removed,) = newest(store, Action.OVERRIDE_REMOVED)
    (planned,) = plan(store, an_override_change(after(60), "bob"))

    with pytest.raises(TooManyOverrides):
        undo_entry(CHECKOUT, removed.id, by=BOB, store=store)
    edit_schedule(CHECKOUT, planned.id, ScheduleEdit(updates=Updates(enabled=False)), by=BOB, store=store)
    (edited,) = newest(store, Action.SCHEDULE_UPDATED)
    undo_entry(CHECKOUT, removed.id, by=BOB, store=store)
    with pytest.raises(TooManyOverrides):
        undo_entry(CHECKOUT, edited.id, by=BOB, store=store)


def newest(store: SqlStore, action: Action) -> Sequence[StoredEntry]:
    return list_history(HistoryQuery("production", action=action, limit=1), store=store).items


def test_the_undo_of_a_plan_makes_room_by_what_it_cancels(
    store: SqlStore, engine: sa.Engine, clock: ManualClock
) -> None:
    set_others_apart(engine, MAX_OVERRIDES - 2)
    set_override(CHECKOUT, NewOverride("ada", OverrideType.EXCLUDE), by=BOB, store=store)
    removed, _ = plan(store, an_override_change(after(1), "ada", "remove"), an_override_change(after(60), "bob"))
    clock.at = after(2)
    set_override(CHECKOUT, NewOverride("carol", OverrideType.INCLUDE), by=BOB, store=store)

    undo_plan(removed.batch_id, by=BOB, store=store)

    assert read_override(CHECKOUT, "ada", store=store).kind is OverrideType.EXCLUDE


def test_recording_takes_no_statement_more_unless_overrides_are_planned_and_then_three_however_many(
    store: SqlStore, engine: sa.Engine, clock: ManualClock, backoff: Backoff
) -> None:
    def statements(*changes: PlannedChange) -> int:
        for key in ("a", "b"):
            create_flag(a_new_flag(key), by=ADMIN, store=store)
            plan_schedules(named(key), changes, batch=True, by=ADMIN, store=store)
        clock.advance(hours=1)
        with recorded(engine) as executed:
            assert drain(store, backoff) == ([2], [])
        for key in ("a", "b"):
            archive_flag(named(key), by=ADMIN, store=store)
        return len([one for one in executed if "feature_flag_overrides" in one])

    def ahead(seconds: int) -> Any:
        return after((clock.at - after(0)).total_seconds() + seconds)

    assert statements(a_change(ahead(1))) == 0
    assert statements(an_override_change(ahead(1), "ada"), an_override_change(ahead(2), "bob", "remove")) == 3
    many = [an_override_change(ahead(n), f"user-{n}", "include" if n % 2 else "remove") for n in range(1, 40)]
    assert statements(*many) == 3


def test_a_list_takes_no_query_more_while_nothing_is_due(store: SqlStore, engine: sa.Engine) -> None:
    with recorded(engine) as without:
        listed(store)
    plan(store, an_override_change(after(10), "ada"))

    with recorded(engine) as ahead:
        listed(store)

    assert len(ahead) == len(without)


@pytest.mark.parametrize(
    "spoilt",
    ['{"override": {"userId": "/", "set": "include"}}', '{"override": {"userId": "ada", "set": "toggle"}}'],
)
def test_one_that_cannot_be_read_fails_and_sets_nobody_apart(
    store: SqlStore, engine: sa.Engine, clock: ManualClock, backoff: Backoff, spoilt: str
) -> None:
    (planned,) = plan(store, an_override_change(after(1), "ada"))
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE feature_flag_schedules SET updates = '" + spoilt.replace(":", "\\:") + "'"))
    assert isinstance(read_schedule(CHECKOUT, planned.id, store=store).schedule.updates, UnreadableUpdates)
    clock.advance(seconds=1)

    drain(store, backoff)

    assert (listed(store), the_flag(engine).version) == ([], 1)
    assert [s.status for s in all_schedules(engine)] == ["failed"]


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM feature_flag_overrides",
        "UPDATE feature_flag_overrides SET override_type = 'exclude'",
        "UPDATE feature_flag_overrides SET created_by = 'mallory'",
    ],
)
def test_the_doctor_misses_what_a_hand_has_changed_of_one_that_was_planned(
    store: SqlStore, engine: sa.Engine, clock: ManualClock, backoff: Backoff, change: str
) -> None:
    plan(store, an_override_change(after(1), "ada"))
    clock.advance(seconds=1)
    drain(store, backoff)
    assert the_flag_is_well(store, clock)

    with engine.begin() as connection:
        connection.exec_driver_sql(change)

    (found,) = [finding for finding in examine(store, clock.at) if not finding.ok]
    assert (found.check, found.examples) == (
        "each override is what its last change made it",
        ["production/new-checkout user ada"],
    )


def test_the_doctor_misses_that_a_hand_has_changed_what_was_planned(
    store: SqlStore, engine: sa.Engine, clock: ManualClock, backoff: Backoff
) -> None:
    (planned,) = plan(store, an_override_change(after(1), "ada"))
    clock.advance(seconds=1)
    drain(store, backoff)

    with engine.begin() as connection:
        another = '{"override": {"userId": "ada", "set": "exclude"}}'
        connection.execute(sa.update(schedules).values(updates=sa.literal_column(f"'{another}'")))

    (found,) = [finding for finding in examine(store, clock.at) if not finding.ok]
    assert (found.check, len(found.examples)) == ("what was applied is what was planned", 1)
    assert found.examples[0].replace("-", "") == planned.id.hex
