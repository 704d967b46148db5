"""Plans with a name, on every database: made to be what a file says, however often that is asked."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.durations import Duration
from flagsched.domain.errors import InstantsRefused, PlanTooLong, QuotaExceeded
from flagsched.domain.limits import ScheduleLimits
from flagsched.domain.plans import MAX_SCHEDULES, NewPlan, PlanEdit, PlanStatus
from flagsched.domain.schedules import ScheduleEdit
from flagsched.domain.updates import Updates
from flagsched.usecases.doctor import examine
from flagsched.usecases.flags import archive_flag, read_flag
from flagsched.usecases.named_plans import AppliedPlan, apply_plan
from flagsched.usecases.plans import create_plan, edit_plan, end_plan, read_plan
from flagsched.usecases.schedules import cancel_schedule, edit_schedule
from tests.builders import ADMIN, NOON, ManualClock, after
from tests.plans import asked, create, listed, named, rollout
from tests.recorder import inserts, recorded
from tests.rows import all_history, everything

OFF = Updates(enabled=False)


@pytest.fixture(autouse=True)
def _flags(store: SqlStore, clock: ManualClock) -> Iterator[None]:
    create(store, "a", "b")
    yield
    assert [one for one in examine(store, clock.at) if not one.ok and one.check != "record"] == []


def file(*percentages: int, keys: str = "ab", title: str = "") -> NewPlan:
    """From a minute after noon on, a minute apart."""
    return rollout(keys, *percentages, start=after(60), name="launch", title=title)


def apply(store: SqlStore, plan: NewPlan, *, dry_run: bool = False) -> AppliedPlan:
    return apply_plan(plan, dry_run=dry_run, by=ADMIN, store=store)


def counted(applied: AppliedPlan) -> tuple[int, int, int]:
    return len(applied.added), len(applied.cancelled), len(applied.kept)


def test_applied_the_first_time_it_is_created_and_the_second_time_nothing_changes(
    store: SqlStore, engine: sa.Engine
) -> None:
    first = apply(store, file(10, 20))
    before = everything(engine)
    second = apply(store, file(10, 20))

    assert (first.created, first.changed, counted(first)) == (True, True, (4, 0, 0))
    assert (second.created, second.changed, counted(second)) == (False, False, (0, 0, 4))
    assert everything(engine) == before
    assert second.plan.plan == first.plan.plan


def test_a_plan_that_starts_now_goes_on_from_its_creation_when_it_is_applied_again(
    store: SqlStore, clock: ManualClock, engine: sa.Engine
) -> None:
    plan = rollout("ab", 10, 20, 30, name="launch")
    first = apply(store, plan)
    assert {one.schedule.scheduled_at for one in first.added} == {NOON, after(60), after(120)}

    for seconds in (0.001, 60, 500):
        clock.at = after(seconds)
        before = everything(engine)
        again = apply(store, plan)
        assert (again.changed, counted(again)) == (False, (0, 0, 6))
        assert everything(engine) == before
    assert again.plan.status is PlanStatus.DONE


def test_what_is_missing_is_added_and_what_is_not_asked_for_any_more_is_cancelled(
    store: SqlStore, clock: ManualClock, engine: sa.Engine
) -> None:
    apply(store, file(10, 20, 30))
    clock.at = after(60)
    written = len(all_history(engine))

    with recorded(engine) as statements:
        applied = apply(store, file(10, 25, 30, 40))

    assert (applied.created, counted(applied)) == (False, (4, 2, 4))
    assert applied.plan.plan.version == 2
    assert inserts(statements, "feature_flag_schedules") == 1
    assert [(one.schedule.scheduled_at, one.schedule.updates) for one in applied.plan.pending] == [
        (after(at), Updates(rollout_percentage=percentage))
        for at, percentage in ((120, 25), (180, 30), (240, 40))
        for _ in "ab"
    ]
    assert sorted(one.action for one in all_history(engine)[written:]) == (
        ["schedule.applied"] * 2 + ["schedule.cancelled"] * 2 + ["schedule.created"] * 4
    )
    assert {read_flag(named(key), store=store).flag.next_due_at for key in "ab"} == {after(120)}
    assert not apply(store, file(10, 25, 30, 40)).changed


def test_what_is_in_effect_is_left_though_it_is_not_asked_for_any_more(store: SqlStore, clock: ManualClock) -> None:
    apply(store, file(10, 20))
    clock.at = after(60)

    applied = apply(store, rollout("ab", 50, start=after(500), name="launch"))

    assert counted(applied) == (2, 2, 0)
    assert applied.plan.progress.applied == 2
    assert read_flag(named("a"), store=store).state.rollout_percentage == 10


def test_a_flag_is_taken_out_of_a_plan_and_another_comes_into_it(store: SqlStore) -> None:
    create(store, "c")
    apply(store, file(10, 20, keys="ab"))

    applied = apply(store, file(10, 20, keys="bc"))

    assert [one.flag.name.key for one in applied.added] == ["c", "c"]
    assert [one.flag.name.key for one in applied.cancelled] == ["a", "a"]
    assert {key: read_flag(named(key), store=store).flag.next_due_at for key in "abc"} == {
        "a": None,
        "b": after(60),
        "c": after(60),
    }


def test_what_was_moved_by_hand_is_set_back(store: SqlStore) -> None:
    first = apply(store, file(10, 20))
    one = first.added[0]
    edit_schedule(one.flag.name, one.schedule.id, ScheduleEdit(after(3000)), by=ADMIN, store=store)

    again = apply(store, file(10, 20))

    assert [gone.schedule.id for gone in again.cancelled] == [one.schedule.id]
    assert [new.schedule.scheduled_at for new in again.added] == [one.schedule.scheduled_at]
    assert not apply(store, file(10, 20)).changed


def test_a_plan_that_was_shifted_is_set_back(store: SqlStore) -> None:
    plan_id = apply(store, file(10, 20)).plan.plan.id
    edit_plan(plan_id, PlanEdit(shift=Duration(seconds=60)), by=ADMIN, store=store)

    again = apply(store, file(10, 20))

    assert counted(again) == (4, 4, 0)
    assert again.plan.plan.version == 3
    assert not apply(store, file(10, 20)).changed


def test_what_was_cancelled_by_hand_is_added_again_while_its_instant_is_ahead(
    store: SqlStore, clock: ManualClock, engine: sa.Engine
) -> None:
    one = apply(store, file(10, 20)).added[0]
    cancel_schedule(one.flag.name, one.schedule.id, by=ADMIN, store=store)

    again = apply(store, file(10, 20))
    assert (counted(again), again.added[0].schedule.id == one.schedule.id) == ((1, 0, 3), False)

    cancel_schedule(one.flag.name, again.added[0].schedule.id, by=ADMIN, store=store)
    clock.at = after(60)
    before = everything(engine)
    with pytest.raises(InstantsRefused) as caught:
        apply(store, file(10, 20))
    assert caught.value.details == {
        "startAt": [
            "2096-06-01T12:01:00Z has passed, and flag 'a' in 'production' was not changed then by this plan as it is "
            "asked for now"
        ]
    }
    assert everything(engine) == before


def test_texts_alone_are_changed_too(store: SqlStore, engine: sa.Engine) -> None:
    apply(store, file(10))
    schedules = everything(engine)["feature_flag_schedules"]

    again = apply(store, file(10, title="Launch"))

    assert (again.changed, again.plan.plan.title, again.plan.plan.version) == (True, "Launch", 2)
    assert everything(engine)["feature_flag_schedules"] == schedules
    assert not apply(store, file(10, title="Launch")).changed


def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(
    store: SqlStore, clock: ManualClock, engine: sa.Engine
) -> None:
    before = everything(engine)
    would = apply(store, rollout("ab", 10, 20, name="launch"), dry_run=True)
    assert (would.created, would.changed, counted(would)) == (True, True, (4, 0, 0))
    assert everything(engine) == before

    apply(store, file(10, 20))
    clock.at = after(60)  # Something is in effect that no worker has recorded.
    before = everything(engine)
    would = apply(store, file(10, 25, 30, title="Launch"), dry_run=True)
    assert (would.created, would.changed, counted(would)) == (False, True, (4, 2, 2))
    assert everything(engine) == before
    done = apply(store, file(10, 25, 30, title="Launch"))
    assert counted(done) == counted(would)


def test_after_its_end_a_plan_of_its_name_is_another_one(store: SqlStore) -> None:
    first = apply(store, file(10, 20)).plan.plan
    end_plan(first.id, by=ADMIN, store=store)

    second = apply(store, file(10, 20))

    assert (second.created, counted(second)) == (True, (4, 0, 0))
    assert second.plan.plan.id != first.id
    assert read_plan(first.id, store=store).status is PlanStatus.CANCELLED


def test_a_flag_that_was_archived_and_created_again_gets_the_plan_anew(store: SqlStore) -> None:
    apply(store, file(10, 20))
    archive_flag(named("b"), by=ADMIN, store=store)
    create(store, "b")

    again = apply(store, file(10, 20))

    assert ([one.flag.name.key for one in again.added], counted(again)) == (["b", "b"], (2, 0, 2))
    assert again.plan.progress.cancelled == 2


def test_a_plan_that_was_created_by_post_is_adjusted_by_its_name(store: SqlStore) -> None:
    created = create_plan(file(10, 20), by=ADMIN, store=store).plan.plan

    applied = apply(store, file(10, 30))

    assert (applied.created, applied.plan.plan.id, counted(applied)) == (False, created.id, (2, 2, 2))


def test_the_quota_counts_what_is_left_once_the_rest_is_cancelled(store: SqlStore) -> None:
    limits = ScheduleLimits(pending=2)
    apply(store, file(10, 20))

    replaced = apply_plan(file(30, 40), dry_run=False, by=ADMIN, store=store, limits=limits)
    with pytest.raises(QuotaExceeded):
        apply_plan(file(30, 40, 50), dry_run=False, by=ADMIN, store=store, limits=limits)

    assert counted(replaced) == (4, 4, 0)


def test_a_plan_has_a_limit_of_schedules_in_its_life(store: SqlStore, engine: sa.Engine) -> None:
    for n in range(MAX_SCHEDULES // 200):
        changes = [asked("a", 60 + 1000 * n + second) for second in range(200)]
        apply(store, listed(*changes, name="launch"))
    before = everything(engine)

    with pytest.raises(PlanTooLong):
        apply(store, listed(asked("a", 60, OFF), name="launch"))

    assert everything(engine) == before


def test_one_change_at_another_instant_is_refused_where_it_stands(store: SqlStore) -> None:
    apply(store, listed(asked("a", 60), name="launch"))
    far = timedelta(days=400).total_seconds()

    with pytest.raises(InstantsRefused) as caught:
        apply(store, listed(asked("a", 60), asked("b", far), name="launch"))

    assert caught.value.details == {"changes": {1: {"scheduledAt": ["must be at most 366 days ahead"]}}}
