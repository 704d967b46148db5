"""Holds, on every database: nothing planned takes effect in them, and what follows their end."""

from datetime import datetime
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.effective import EffectiveSchedule
from flagsched.domain.errors import (
    EnvironmentMissing,
    Frozen,
    HoldMissing,
    HoldOver,
    PlanEnded,
    TooManyHolds,
    ValidationFailed,
)
from flagsched.domain.flags import FlagEdit, FlagName
from flagsched.domain.history import Action
from flagsched.domain.holds import MAX_HOLDS, AtEnd, HoldEdit, HoldStatus, NewHold, Release
from flagsched.domain.overrides import NewOverride, OverrideType
from flagsched.domain.plans import PlanStatus
from flagsched.domain.schedules import Status
from flagsched.domain.updates import Updates
from flagsched.ports.history import HistoryQuery
from flagsched.ports.holds import HoldQuery
from flagsched.ports.schedules import ScheduleQuery
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.doctor import examine
from flagsched.usecases.flags import archive_flag, create_flag, edit_flag, read_flag
from flagsched.usecases.history import list_history
from flagsched.usecases.holds import (
    edit_hold,
    hold_environment,
    hold_flag,
    hold_plan,
    list_holds,
    read_hold,
    release_hold,
    release_plan,
)
from flagsched.usecases.overrides import remove_override, set_override
from flagsched.usecases.plans import create_plan, read_plan
from flagsched.usecases.schedules import list_schedules, plan_schedules
from flagsched.usecases.timeline import preview_schedules, read_timeline
from tests.builders import ADMIN, CHECKOUT, ManualClock, a_change, a_new_flag, after
from tests.contract.records import a_planned_flag, drain
from tests.plans import rollout
from tests.rows import everything

OPEN = NewHold("it burns")
OFF = Updates(enabled=False)


def hold(store: SqlStore, **asked: object) -> UUID:
    """A hold of CHECKOUT."""
    return hold_flag(CHECKOUT, NewHold("it burns", **asked), by=ADMIN, store=store).hold.id  # type: ignore[arg-type]


def release(store: SqlStore, hold_id: UUID, how: Release | None = None) -> None:
    release_hold(hold_id, how, by=ADMIN, store=store)


def percentage(store: SqlStore, name: FlagName = CHECKOUT) -> int:
    return read_flag(name, store=store).state.rollout_percentage


def schedules(store: SqlStore, name: FlagName = CHECKOUT) -> list[EffectiveSchedule]:
    return list(list_schedules(name, ScheduleQuery(), store=store).items)


def statuses(store: SqlStore) -> list[Status]:
    return [one.schedule.status for one in schedules(store)]


@pytest.fixture(autouse=True)
def sound(store: SqlStore, clock: ManualClock) -> object:
    """After each test, all that is stored is as it must be."""
    yield
    found = examine(store, clock.at)
    assert [(one.check, one.examples) for one in found if not one.ok and one.check != "record"] == []


def test_nothing_planned_takes_effect_while_a_flag_is_held_and_all_of_it_in_order_afterwards(
    store: SqlStore, clock: ManualClock, backoff: Backoff
) -> None:
    a_planned_flag(store, "new-checkout", 10, 20, 30)
    clock.at = after(15)
    held = hold(store)

    clock.at = after(1000)
    drain(store, backoff)

    flag = read_flag(CHECKOUT, store=store)
    assert (flag.state.rollout_percentage, flag.state.version, flag.next_change_at) == (10, 2, None)
    assert [one.id for one in flag.holds] == [held]
    assert [(one.status, one.takes_effect_at, one.held_by) for one in schedules(store)[1:]] == [
        (Status.PENDING, None, held)
    ] * 2
    release(store, held)

    flag = read_flag(CHECKOUT, store=store)
    assert (flag.state.rollout_percentage, flag.state.version, flag.state.changed_at) == (30, 4, after(1000))
    assert flag.holds == ()
    assert statuses(store) == [Status.APPLIED] * 3


def test_what_lay_in_a_hold_is_skipped_if_it_says_so(store: SqlStore, clock: ManualClock, backoff: Backoff) -> None:
    a_planned_flag(store, "new-checkout", 10, 20, 30)
    hold(store, starts_at=after(5), ends_at=after(25), at_end=AtEnd.SKIP)

    clock.at = after(25)

    assert percentage(store) == 100
    assert [one.status for one in schedules(store)] == [Status.SKIPPED, Status.SKIPPED, Status.PENDING]
    clock.at = after(60)
    drain(store, backoff)
    assert (percentage(store), statuses(store)) == (30, [Status.SKIPPED, Status.SKIPPED, Status.APPLIED])
    reasons = [one.reason or "" for one in schedules(store)[:2]]
    assert all(reason.startswith("skipped by the hold ") and reason.endswith(": it burns") for reason in reasons)
    actions = [e.action for e in list_history(HistoryQuery("production"), store=store).items]
    assert actions.count(Action.SCHEDULE_SKIPPED) == 2


def test_a_hold_that_was_planned_is_honoured_without_any_worker(store: SqlStore, clock: ManualClock) -> None:
    a_planned_flag(store, "new-checkout", 10, 20, 30)
    hold(store, starts_at=after(15), ends_at=after(28))

    seen = []
    for seconds in (10, 20, 27.999, 28, 30):
        clock.at = after(seconds)
        flag = read_flag(CHECKOUT, store=store)
        seen.append((flag.state.rollout_percentage, flag.state.changed_at, flag.next_change_at))

    assert seen == [
        (10, after(10), after(28)),
        (10, after(10), after(28)),
        (10, after(10), after(28)),
        (20, after(28), after(30)),
        (30, after(30), None),
    ]


def test_a_worker_that_was_dead_over_a_hold_records_all_of_it_in_order(
    store: SqlStore, clock: ManualClock, backoff: Backoff
) -> None:
    a_planned_flag(store, "new-checkout", 10, 20, 30, 40)
    hold(store, starts_at=after(15), ends_at=after(35))
    clock.at = after(1000)

    drain(store, backoff)

    applied = [
        e for e in list_history(HistoryQuery("production"), store=store).items if e.action is Action.SCHEDULE_APPLIED
    ]
    assert [(e.effective_at, e.after and e.after["rolloutPercentage"]) for e in reversed(applied)] == [
        (after(10), 10),
        (after(35), 20),
        (after(35), 30),
        (after(40), 40),
    ]


def test_the_red_button_turns_a_flag_off_and_keeps_it_off_until_it_is_released_with_the_rest_of_its_ramp(
    store: SqlStore, clock: ManualClock, backoff: Backoff
) -> None:
    create_flag(a_new_flag(enabled=True), by=ADMIN, store=store)
    ramp = [a_change(after(s), enabled=True, rollout_percentage=s) for s in (10, 20, 40)]
    plan_schedules(CHECKOUT, ramp, batch=True, by=ADMIN, store=store)
    clock.at = after(15)

    held = hold(store, updates=OFF)

    for seconds in (15, 20, 40, 100):
        clock.at = after(seconds)
        drain(store, backoff)
        assert read_flag(CHECKOUT, store=store).state.enabled is False
    release(store, held, Release.SHIFT)
    assert [one.schedule.scheduled_at for one in schedules(store)] == [after(10), after(105), after(125)]
    seen = []
    for seconds in (100, 105, 125):
        clock.at = after(seconds)
        state = read_flag(CHECKOUT, store=store).state
        seen.append((state.enabled, state.rollout_percentage))
    assert seen == [(False, 10), (True, 20), (True, 40)]


def test_a_release_that_skips_leaves_out_what_lay_in_the_hold_alone(store: SqlStore, clock: ManualClock) -> None:
    a_planned_flag(store, "new-checkout", 10, 20, 30)
    held = hold(store)
    clock.at = after(25)

    release(store, held, Release.SKIP)

    assert statuses(store) == [Status.SKIPPED, Status.SKIPPED, Status.PENDING]
    clock.at = after(30)
    assert percentage(store) == 30


def test_a_hold_that_is_released_before_it_begins_never_begins(store: SqlStore, clock: ManualClock) -> None:
    a_planned_flag(store, "new-checkout", 10)
    held = hold(store, starts_at=after(5))

    release(store, held)

    assert read_hold(held, store=store).status is HoldStatus.OVER
    assert list_holds(HoldQuery(status=HoldStatus.UPCOMING), store=store).items == []
    assert [one.hold.id for one in list_holds(HoldQuery(status=HoldStatus.OVER), store=store).items] == [held]
    clock.at = after(10)
    assert percentage(store) == 10
    assert read_hold(held, store=store).status is HoldStatus.OVER


def test_holds_that_were_released_before_they_begin_count_for_nothing(store: SqlStore) -> None:
    a_planned_flag(store, "new-checkout")
    for _ in range(MAX_HOLDS):
        release(store, hold(store, starts_at=after(5)))

    hold(store)


def test_a_hold_that_was_released_stays_so_when_the_clock_is_set_back(store: SqlStore, clock: ManualClock) -> None:
    a_planned_flag(store, "new-checkout")
    clock.at = after(10)
    held = hold(store)
    clock.at = after(20)
    release(store, held)
    clock.at = after(15)

    with pytest.raises(HoldOver):
        edit_hold(held, HoldEdit(sets_end=True), by=ADMIN, store=store)
    with pytest.raises(HoldOver):
        release(store, held)


def test_of_holds_that_overlap_the_last_end_counts(store: SqlStore, clock: ManualClock) -> None:
    a_planned_flag(store, "new-checkout", 10)
    hold(store, starts_at=after(5), ends_at=after(20))
    last = hold(store, starts_at=after(15), ends_at=after(30))
    hold(store, starts_at=after(30), ends_at=after(31))  # Begins where the other ends.

    (planned,) = schedules(store)

    assert planned.takes_effect_at == after(31)
    assert planned.held_by != last
    clock.at = after(30.5)
    assert percentage(store) == 100
    clock.at = after(31)
    assert percentage(store) == 10


def test_a_hold_of_an_environment_bears_on_all_its_flags_and_on_those_that_are_created_in_it(
    store: SqlStore, clock: ManualClock, backoff: Backoff
) -> None:
    a_planned_flag(store, "new-checkout", 10)
    a_planned_flag(store, "other", 10)
    held = hold_environment("production", OPEN, by=ADMIN, store=store).hold
    a_planned_flag(store, "third", 10)
    create_flag(a_new_flag("elsewhere", "dev"), by=ADMIN, store=store)
    dev = FlagName("dev", "elsewhere")
    plan_schedules(dev, [a_change(after(10), rollout_percentage=10)], batch=False, by=ADMIN, store=store)
    names = [CHECKOUT, FlagName("production", "other"), FlagName("production", "third")]

    clock.at = after(100)
    drain(store, backoff)

    assert [percentage(store, name) for name in (*names, dev)] == [100, 100, 100, 10]
    assert [one.id for one in read_flag(names[2], store=store).holds] == [held.id]
    release(store, held.id)
    assert [percentage(store, name) for name in names] == [10, 10, 10]


def test_an_environment_without_flags_can_not_be_held(store: SqlStore) -> None:
    with pytest.raises(EnvironmentMissing):
        hold_environment("productoin", OPEN, by=ADMIN, store=store)


def test_the_hold_of_an_environment_is_not_shifted(store: SqlStore) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    held = hold_environment("production", OPEN, by=ADMIN, store=store).hold

    with pytest.raises(ValidationFailed):
        release(store, held.id, Release.SHIFT)

    assert read_hold(held.id, store=store).status is HoldStatus.ACTIVE


def test_a_plan_is_held_and_released_with_all_of_its_flags(store: SqlStore, clock: ManualClock) -> None:
    for key in "ab":
        create_flag(a_new_flag(key), by=ADMIN, store=store)
    plan = create_plan(rollout("ab", 10, 20, start=after(60)), by=ADMIN, store=store).plan.plan

    placed = hold_plan(plan.id, OPEN, by=ADMIN, store=store)

    assert sorted(one.flag_key or "" for one in placed) == ["a", "b"]
    assert {one.hold.plan_id for one in placed} == {plan.id}
    shown = read_plan(plan.id, store=store)
    assert (shown.status, shown.progress.next_at) == (PlanStatus.HELD, None)
    clock.at = after(90)
    released = release_plan(plan.id, Release.SHIFT, by=ADMIN, store=store)
    assert {one.status for one in released} == {HoldStatus.OVER}
    shown = read_plan(plan.id, store=store)
    assert (shown.status, shown.progress.next_at) == (PlanStatus.UPCOMING, after(150))
    with pytest.raises(HoldMissing):
        release_plan(plan.id, by=ADMIN, store=store)


def test_a_plan_of_which_nothing_is_ahead_can_not_be_held(store: SqlStore, clock: ManualClock) -> None:
    create_flag(a_new_flag("a"), by=ADMIN, store=store)
    plan = create_plan(rollout("a", 10, start=after(60)), by=ADMIN, store=store).plan.plan
    clock.at = after(60)

    with pytest.raises(PlanEnded):
        hold_plan(plan.id, OPEN, by=ADMIN, store=store)


@pytest.mark.parametrize(
    "asked",
    [
        NewHold("x", starts_at=after(-1)),
        NewHold("x", ends_at=after(0)),
        NewHold("x", starts_at=after(10), ends_at=after(10)),
    ],
)
def test_a_hold_lies_ahead_and_has_a_length(store: SqlStore, engine: sa.Engine, asked: NewHold) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    before = everything(engine)

    with pytest.raises(ValidationFailed):
        hold_flag(CHECKOUT, asked, by=ADMIN, store=store)

    assert everything(engine) == before


def test_a_flag_has_a_hundred_holds_at_most_that_are_not_over(store: SqlStore, clock: ManualClock) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    for n in range(MAX_HOLDS):
        hold(store, starts_at=after(10 * n + 1), ends_at=after(10 * n + 2))

    with pytest.raises(TooManyHolds):
        hold(store)

    clock.at = after(5)
    hold(store)


def test_a_hold_is_given_another_end_while_it_is_not_over(store: SqlStore, clock: ManualClock) -> None:
    a_planned_flag(store, "new-checkout", 10)
    held = hold(store, ends_at=after(20))
    edit_hold(held, HoldEdit(sets_end=True, ends_at=after(30)), by=ADMIN, store=store)
    clock.at = after(25)
    assert percentage(store) == 100
    edit_hold(held, HoldEdit(sets_end=True), by=ADMIN, store=store)
    clock.at = after(1000)
    assert percentage(store) == 100

    with pytest.raises(ValidationFailed):
        edit_hold(held, HoldEdit(sets_end=True, ends_at=after(999)), by=ADMIN, store=store)

    edit_hold(held, HoldEdit(sets_end=True, ends_at=after(1001), at_end=AtEnd.SKIP), by=ADMIN, store=store)
    clock.at = after(1001)
    assert [one.status for one in schedules(store)] == [Status.SKIPPED]
    with pytest.raises(HoldOver):
        edit_hold(held, HoldEdit(reason="too late"), by=ADMIN, store=store)
    with pytest.raises(HoldOver):
        release(store, held)


def test_a_freeze_refuses_edits_by_hand_unless_somebody_says_why(store: SqlStore, clock: ManualClock) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    freeze = NewHold("Black Friday", starts_at=after(10), ends_at=after(20), refuses_edits=True)
    held = hold_environment("production", freeze, by=ADMIN, store=store).hold
    ada = NewOverride("ada", OverrideType.INCLUDE)
    edit = FlagEdit(Updates(rollout_percentage=1))
    edit_flag(CHECKOUT, edit, by=ADMIN, store=store)
    set_override(CHECKOUT, ada, by=ADMIN, store=store)
    clock.at = after(10)

    for refused in (
        lambda: edit_flag(CHECKOUT, edit, by=ADMIN, store=store),
        lambda: archive_flag(CHECKOUT, by=ADMIN, store=store),
        lambda: set_override(CHECKOUT, ada, by=ADMIN, store=store),
        lambda: remove_override(CHECKOUT, "ada", by=ADMIN, store=store),
    ):
        with pytest.raises(Frozen):
            refused()

    edit_flag(CHECKOUT, edit, by=ADMIN, store=store, override="the shop is down")
    entry = list_history(HistoryQuery("production"), store=store).items[0]
    assert entry.after == {
        "enabled": False,
        "rolloutPercentage": 1,
        "description": "",
        "archived": False,
        "despiteHold": {"holdId": str(held.id), "reason": "the shop is down"},
    }
    clock.at = after(20)
    edit_flag(CHECKOUT, edit, by=ADMIN, store=store)


def test_what_is_planned_inside_a_hold_says_when_it_takes_effect(store: SqlStore) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    held = hold(store, starts_at=after(10), ends_at=after(20))

    (single,) = plan_schedules(
        CHECKOUT, [a_change(after(15), rollout_percentage=5)], batch=False, by=ADMIN, store=store
    )

    assert (single.takes_effect_at, single.held_by) == (after(20), held)
    flag = read_flag(CHECKOUT, store=store)
    assert flag.next_change_at == after(20)


def test_a_preview_knows_holds_and_comes_about(store: SqlStore) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    hold(store, starts_at=after(10), ends_at=after(20))
    hold(store, starts_at=after(30), ends_at=after(40), at_end=AtEnd.SKIP)
    drafts = [a_change(after(s), rollout_percentage=s) for s in (5, 15, 35, 50)]

    preview = preview_schedules(CHECKOUT, drafts, store=store)

    assert [(one.start, one.state.rollout_percentage) for one in preview.segments] == [
        (after(0), 100),
        (after(5), 5),
        (after(20), 15),
        (after(50), 50),
    ]
    assert [(one.cause.draft, one.until) for one in preview.deferred] == [(1, after(20))]
    assert [(one.cause.draft, one.status) for one in preview.passed_over] == [(2, Status.SKIPPED)]
    plan_schedules(CHECKOUT, drafts, batch=True, by=ADMIN, store=store)
    timeline = read_timeline(CHECKOUT, None, None, store=store)
    assert [(one.start, one.state) for one in timeline.segments] == [(one.start, one.state) for one in preview.segments]
    assert len(timeline.holds) == 2


def test_a_timeline_tells_the_same_of_what_was_passed_over_before_and_after_it_is_recorded(
    store: SqlStore, clock: ManualClock, backoff: Backoff
) -> None:
    a_planned_flag(store, "new-checkout", 10, 20)
    hold(store, ends_at=after(15), at_end=AtEnd.SKIP)
    clock.at = after(100)
    before = read_timeline(CHECKOUT, None, None, store=store)

    drain(store, backoff)

    assert read_timeline(CHECKOUT, None, None, store=store) == before
    assert [one.scheduled_at for one in before.passed_over] == [after(10)]


def test_archiving_a_flag_ends_its_holds(store: SqlStore) -> None:
    a_planned_flag(store, "new-checkout", 10)
    held = hold(store)

    archive_flag(CHECKOUT, by=ADMIN, store=store)

    assert read_hold(held, store=store).status is HoldStatus.OVER
    actions = [e.action for e in list_history(HistoryQuery("production"), store=store).items]
    assert actions[:2] == [Action.FLAG_ARCHIVED, Action.HOLD_RELEASED]


def test_holds_are_listed_by_flag_environment_and_status(store: SqlStore, clock: ManualClock) -> None:
    a_planned_flag(store, "new-checkout", 10)
    create_flag(a_new_flag("other"), by=ADMIN, store=store)
    over = hold(store, ends_at=after(1))
    own = hold(store)
    upcoming = hold_environment("production", NewHold("x", starts_at=after(50)), by=ADMIN, store=store).hold.id
    other = hold_flag(FlagName("production", "other"), OPEN, by=ADMIN, store=store).hold.id
    clock.at = after(5)

    def found(flag: FlagName | None = None, **query: object) -> set[UUID]:
        return {one.hold.id for one in list_holds(HoldQuery(**query), flag, store=store).items}  # type: ignore[arg-type]

    assert found() == {over, own, upcoming, other}
    assert found(CHECKOUT) == {over, own, upcoming}
    assert found(status=HoldStatus.ACTIVE) == {own, other}
    assert found(status=HoldStatus.OVER) == {over}
    assert found(status=HoldStatus.UPCOMING) == {upcoming}
    assert found(environment="dev") == set()


def test_what_does_not_exist_can_not_be_released(store: SqlStore) -> None:
    with pytest.raises(HoldMissing):
        release(store, uuid4())


def test_a_hold_is_placed_edited_and_released_in_the_history(store: SqlStore, clock: ManualClock) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    held = hold_environment("production", OPEN, by=ADMIN, store=store).hold
    edit_hold(held.id, HoldEdit(reason="still burns"), by=ADMIN, store=store)
    clock.at = datetime.fromisoformat("2096-06-01T13:00:00Z")
    release(store, held.id)

    entries = list_history(HistoryQuery("production"), store=store).items[:3]

    assert [e.action for e in entries] == [Action.HOLD_RELEASED, Action.HOLD_UPDATED, Action.HOLD_PLACED]
    assert entries[0].flag_key is None
    document = {"holdId": str(held.id), "from": "2096-06-01T12:00:00Z", "then": "catchUp", "refuseEdits": False}
    assert entries[2].after == document | {"until": None, "reason": "it burns"}
    assert entries[0].before == document | {"until": None, "reason": "still burns"}
    assert entries[0].after == document | {"until": "2096-06-01T13:00:00Z", "reason": "still burns"}


def test_a_hold_is_published_though_nothing_is_planned_for_its_flag(store: SqlStore) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)

    def revision() -> int:
        with store.reading() as work:
            return work.snapshots.revisions()["production"]

    before = revision()
    placed = hold_flag(CHECKOUT, NewHold("look"), by=ADMIN, store=store)
    held = revision()
    release_hold(placed.hold.id, by=ADMIN, store=store)

    assert before < held < revision()
