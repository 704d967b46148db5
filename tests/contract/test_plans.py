"""Plans, on every database: whole or not at all, in one write each, and what becomes of them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.durations import Duration
from flagsched.domain.errors import (
    DuplicateInstants,
    FlagsMissing,
    InstantsRefused,
    PlanChanged,
    PlanEnded,
    PlanExists,
    PlanMissing,
    QuotaExceeded,
    StatementFailed,
    ValidationFailed,
)
from flagsched.domain.flags import FlagEdit, Precondition
from flagsched.domain.limits import ScheduleLimits
from flagsched.domain.plans import EffectivePlan, PlanEdit, PlanStatus, Progress
from flagsched.domain.rollouts import RolloutEnvironment
from flagsched.domain.schedules import ScheduleEdit, Status
from flagsched.ports.plans import PlanQuery
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.doctor import examine
from flagsched.usecases.flags import archive_flag, edit_flag, read_flag
from flagsched.usecases.materialise import materialise_due
from flagsched.usecases.plans import create_plan, edit_plan, end_plan, list_plans, preview_plan, read_plan
from flagsched.usecases.schedules import cancel_schedule, edit_schedule, plan_schedules
from tests.builders import ADMIN, NOON, ManualClock, a_change, after
from tests.contract.records import told_now
from tests.plans import ON, asked, create, listed, named, rollout
from tests.recorder import inserts, recorded
from tests.rows import all_history, all_schedules, count, everything

ENVIRONMENTS = ("dev", "production", "staging", "test")
FIFTY = [f"flag-{n:02}" for n in range(50)]
PRODUCT = [RolloutEnvironment(name) for name in ENVIRONMENTS]


@pytest.fixture(autouse=True)
def _all_is_well(store: SqlStore, clock: ManualClock) -> Iterator[None]:
    """Whatever a test did, the doctor finds nothing but what no worker has recorded yet."""
    yield
    assert [one for one in examine(store, clock.at) if not one.ok and one.check != "record"] == []


def record_all(store: SqlStore, clock: ManualClock) -> None:
    while materialise_due(store, Backoff(lambda: clock().timestamp())).flags:
        pass


def told(plan: EffectivePlan) -> object:
    """All that a reader is told of a plan."""
    return plan.plan, plan.status, plan.progress, [(one.schedule, one.in_effect, one.ahead) for one in plan.schedules]


def revision_of(store: SqlStore) -> int:
    with store.reading() as work:
        return work.snapshots.revisions()["production"]


def test_a_plan_over_fifty_flags_and_four_environments_is_created_whole(store: SqlStore, engine: sa.Engine) -> None:
    names = create(store, *FIFTY, environments=ENVIRONMENTS)

    created = create_plan(rollout(FIFTY, 50, start=after(60), environments=PRODUCT), by=ADMIN, store=store)

    assert [one.flag.name for one in created.schedules] == names
    assert {(one.scheduled_at, one.status, one.batch_id) for one in all_schedules(engine)} == {
        (after(60), "pending", created.plan.plan.id)
    }
    assert Counter(one.action for one in all_history(engine)) == {"flag.created": 200, "schedule.created": 200}
    assert told(read_plan(created.plan.plan.id, store=store)) == told(created.plan)


REFUSE = {
    "sqlite": [
        """CREATE TRIGGER refuse BEFORE INSERT ON {table} WHEN NEW.flag_id = '{flag}'
           BEGIN SELECT RAISE(ABORT, 'the last is refused'); END"""
    ],
    "postgresql": [
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'the last is refused'; END $$""",
        """CREATE TRIGGER refuse BEFORE INSERT ON {table} FOR EACH ROW WHEN (NEW.flag_id = '{flag}')
           EXECUTE FUNCTION refuse()""",
    ],
}


@pytest.mark.parametrize("table", ["feature_flag_schedules", "feature_flag_history"])
def test_if_the_database_refuses_the_last_row_nothing_of_the_plan_is_left(
    store: SqlStore, engine: sa.Engine, table: str
) -> None:
    create(store, *FIFTY, environments=ENVIRONMENTS)
    last = read_flag(named(FIFTY[-1], ENVIRONMENTS[-1]), store=store).flag.id
    with engine.begin() as connection:
        for statement in REFUSE[engine.dialect.name]:
            connection.exec_driver_sql(statement.format(table=table, flag=last.hex))
    before = everything(engine)

    for asked_for in (
        rollout(FIFTY, 50, start=after(60), environments=PRODUCT),
        rollout(FIFTY, 50, environments=PRODUCT),
    ):
        with pytest.raises(StatementFailed) as caught:
            create_plan(asked_for, by=ADMIN, store=store)
        assert "the last is refused" in caught.value.cause

    assert everything(engine) == before


@pytest.mark.parametrize("start", [None, after(60)], ids=["now", "later"])
def test_a_plan_takes_as_many_statements_for_two_hundred_changes_as_for_one(
    store: SqlStore, engine: sa.Engine, start: object
) -> None:
    create(store, *FIFTY, environments=ENVIRONMENTS)

    taken = []
    for keys, environments in ((FIFTY[:1], PRODUCT[:1]), (FIFTY, PRODUCT[:1]), (FIFTY, PRODUCT)):
        with recorded(engine) as statements:
            create_plan(rollout(keys, 50, start=start, environments=environments), by=ADMIN, store=store)  # type: ignore[arg-type]
        assert inserts(statements, "feature_flag_schedules") == 1
        assert sum("INSERT INTO feature_flag_history" in one for one in statements) == (1 if start else 2)
        taken.append(len(statements))

    assert count(engine, "feature_flag_schedules") == 251
    assert taken == [taken[0]] * 3


def test_equal_instants_of_one_flag_are_refused_by_index_and_those_of_others_are_not(
    store: SqlStore, engine: sa.Engine
) -> None:
    create(store, "a", "b", environments=("dev", "production"))
    before = everything(engine)

    with pytest.raises(DuplicateInstants) as caught:
        create_plan(listed(asked("a", 1), asked("b", 1), asked("a", 1), asked("b", 1)), by=ADMIN, store=store)

    assert everything(engine) == before
    assert caught.value.details == {
        "changes": {
            2: {"scheduledAt": ["is the same instant as in changes[0]"]},
            3: {"scheduledAt": ["is the same instant as in changes[1]"]},
        }
    }
    create_plan(listed(asked("a", 1), asked("b", 1), asked("a", 1, environment="dev")), by=ADMIN, store=store)


def test_steps_without_a_length_between_them_are_at_one_instant_and_refused(store: SqlStore, engine: sa.Engine) -> None:
    create(store, "a")

    for start in (None, after(60)):
        with pytest.raises(DuplicateInstants) as caught:
            create_plan(rollout("a", 10, 20, 30, every=0, start=start), by=ADMIN, store=store)
        assert caught.value.details == {
            "steps": {n: {"after": ["is the same instant as in steps[0]"]} for n in (1, 2)},
        }

    assert count(engine, "feature_flag_plans") == 0


def test_every_missing_flag_is_named(store: SqlStore, engine: sa.Engine) -> None:
    create(store, "a")

    with pytest.raises(FlagsMissing) as of_list:
        create_plan(listed(asked("x", 1), asked("a", 1), asked("a", 1, environment="dev")), by=ADMIN, store=store)
    with pytest.raises(FlagsMissing) as of_product:
        create_plan(rollout(["a", "x"], 1, 2, environments=PRODUCT[:2]), by=ADMIN, store=store)

    assert of_list.value.details == {
        "changes": {
            0: {"flagKey": ["flag 'x' does not exist in 'production'"]},
            2: {"flagKey": ["flag 'a' does not exist in 'dev'"]},
        }
    }
    in_both = [f"flag 'x' does not exist in '{environment}'" for environment in ("dev", "production")]
    assert of_product.value.details == {"flags": {0: ["flag 'a' does not exist in 'dev'"], 1: in_both}}
    assert of_product.value.message == "; ".join(["flag 'a' does not exist in 'dev'", *in_both])
    assert count(engine, "feature_flag_plans") == 0


def test_a_plan_counts_towards_the_quota_of_each_of_its_flags(store: SqlStore, engine: sa.Engine) -> None:
    create(store, "a", "b")
    limits = ScheduleLimits(pending=3)
    plan_schedules(named("b"), [a_change(after(5)), a_change(after(6))], batch=True, by=ADMIN, store=store)
    before = everything(engine)

    with pytest.raises(QuotaExceeded, match="'b' has 2 pending"):
        create_plan(rollout("ab", 10, 20, start=after(60)), by=ADMIN, store=store, limits=limits)
    with pytest.raises(QuotaExceeded, match="'b' has 2 pending"):
        preview_plan(rollout("ab", 10, 20, start=after(60)), store=store, limits=limits)

    assert everything(engine) == before
    create_plan(rollout(["a", "b"], 10, start=after(60)), by=ADMIN, store=store, limits=limits)


def test_every_instant_that_is_past_or_too_far_is_named(store: SqlStore, engine: sa.Engine) -> None:
    create(store, "a", "b")
    far = timedelta(days=366).total_seconds()

    with pytest.raises(InstantsRefused) as caught:
        create_plan(
            listed(asked("a", 0), asked("a", 1), asked("b", far), asked("b", far + 0.001)), by=ADMIN, store=store
        )

    assert caught.value.details == {
        "changes": {
            0: {"scheduledAt": ["must be in the future"]},
            3: {"scheduledAt": ["must be at most 366 days ahead"]},
        }
    }
    assert count(engine, "feature_flag_plans") == 0


def test_a_step_that_leads_too_far_is_refused_where_it_says_how_far(store: SqlStore) -> None:
    create(store, "a")
    plan = rollout("a", 10, 20, environments=[RolloutEnvironment("production", Duration(days=366))])

    with pytest.raises(InstantsRefused) as caught:
        create_plan(plan, by=ADMIN, store=store)

    assert caught.value.details == {"steps": {1: {"after": ["must be at most 366 days ahead"]}}}


@pytest.mark.parametrize("keys", [FIFTY[:1], FIFTY[:20]], ids=["one flag", "twenty flags"])
def test_the_first_step_of_a_plan_that_starts_now_is_in_effect_when_it_is_created(
    store: SqlStore, engine: sa.Engine, keys: list[str]
) -> None:
    create(store, *keys)
    revision = revision_of(store)

    created = create_plan(rollout(keys, 10, 20), by=ADMIN, store=store)

    statuses = [(one.schedule.status, one.in_effect, one.schedule.flag_version) for one in created.schedules]
    assert statuses == [(Status.APPLIED, True, 2)] * len(keys) + [(Status.PENDING, False, None)] * len(keys)
    assert created.plan.status is PlanStatus.RUNNING
    assert revision_of(store) == revision + 1
    assert {key: told_now(store).flags[key].effective.state.rollout_percentage for key in keys} == dict.fromkeys(
        keys, 10
    )
    for key in keys:
        flag = read_flag(named(key), store=store)
        assert (flag.state.rollout_percentage, flag.state.version, flag.materialized) == (10, 2, True)
        assert (flag.state.changed_at, flag.flag.next_due_at) == (NOON, after(60))
    entries = [(one.action, one.actor) for one in all_history(engine)[len(keys) :]]
    assert entries == [("schedule.created", "ada")] * 2 * len(keys) + [("schedule.applied", "flagsched")] * len(keys)
    assert told(read_plan(created.plan.plan.id, store=store)) == told(created.plan)


def test_a_plan_that_starts_now_starts_after_what_its_flags_have_seen(store: SqlStore, clock: ManualClock) -> None:
    create(store, "a", "b")
    clock.advance(seconds=30)
    edit_flag(named("b"), FlagEdit(ON), by=ADMIN, store=store)
    clock.advance(seconds=-20)

    created = create_plan(rollout(["a", "b"], 10, 20), by=ADMIN, store=store)

    assert {one.schedule.scheduled_at for one in created.schedules} == {after(30), after(90)}
    assert read_flag(named("b"), store=store).state.rollout_percentage == 10
    clock.at = after(30)
    assert read_flag(named("a"), store=store).state.rollout_percentage == 10


def test_a_plan_that_starts_now_can_be_previewed_whatever_the_clock_says(engine: sa.Engine) -> None:
    store = SqlStore(engine)
    create(store, "a")

    preview = preview_plan(rollout("a", 10, 20), store=store)[named("a")]

    assert [one.state.rollout_percentage for one in preview.segments] == [10, 20]


def a_plan(store: SqlStore, **other: object) -> EffectivePlan:
    """Flags a and b, each at 10, 20 and 30 % from a minute after noon on, a minute apart."""
    return create_plan(rollout("ab", 10, 20, 30, start=after(60), **other), by=ADMIN, store=store).plan  # type: ignore[arg-type]


def progress(*, pending: int = 0, applied: int = 0, cancelled: int = 0, next_at: float | None = None) -> Progress:
    return Progress(pending, applied, 0, cancelled, 0, None if next_at is None else after(next_at))


def test_a_plan_tells_how_far_it_has_come_recorded_or_not(store: SqlStore, clock: ManualClock) -> None:
    create(store, "a", "b")
    plan_id = a_plan(store).plan.id

    for seconds, status, expected in (
        (59.999, PlanStatus.UPCOMING, progress(pending=6, next_at=60)),
        (60, PlanStatus.RUNNING, progress(pending=4, applied=2, next_at=120)),
        (179.999, PlanStatus.RUNNING, progress(pending=2, applied=4, next_at=180)),
        (180, PlanStatus.DONE, progress(applied=6)),
    ):
        clock.at = after(seconds)
        seen = [read_plan(plan_id, store=store)]
        record_all(store, clock)
        seen.append(read_plan(plan_id, store=store))
        assert [(one.status, one.progress) for one in seen] == [(status, expected)] * 2
        assert [len(one.pending) for one in seen] == [expected.pending] * 2


def test_a_plan_of_which_all_was_cancelled_one_by_one_is_cancelled(store: SqlStore) -> None:
    create(store, "a", "b")
    plan = a_plan(store)

    for one in plan.schedules:
        cancel_schedule(one.flag.name, one.schedule.id, by=ADMIN, store=store)

    seen = read_plan(plan.plan.id, store=store)
    assert (seen.status, seen.progress) == (PlanStatus.CANCELLED, progress(cancelled=6))


def test_a_shift_moves_all_that_is_ahead_and_says_so(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    create(store, "a", "b")
    plan = a_plan(store)
    clock.at = after(61)
    written, revision = len(all_history(engine)), revision_of(store)

    moved = edit_plan(plan.plan.id, PlanEdit(shift=Duration(seconds=-30)), by=ADMIN, store=store)

    assert [one.schedule.scheduled_at for one in moved.schedules] == [
        at for seconds in (60, 90, 150) for at in [after(seconds)] * 2
    ]
    assert moved.plan.version == 2
    assert told(read_plan(plan.plan.id, store=store)) == told(moved)
    actions = Counter(one.action for one in all_history(engine)[written:])
    assert actions == {"schedule.applied": 2, "schedule.updated": 4}
    assert {read_flag(named(key), store=store).flag.next_due_at for key in "ab"} == {after(90)}
    assert revision_of(store) == revision + 1


@pytest.mark.parametrize(
    ("shift", "reason"),
    [
        (Duration(seconds=-60), "2096-06-01T12:00:00Z, must be in the future"),
        (Duration(days=366), "2097-06-02T12:01:00Z, must be at most 366 days ahead"),
    ],
    ids=["past", "too far"],
)
def test_a_shift_of_which_one_instant_is_refused_moves_nothing(
    store: SqlStore, engine: sa.Engine, shift: Duration, reason: str
) -> None:
    create(store, "a", "b")
    plan = a_plan(store)
    before = everything(engine)

    with pytest.raises(ValidationFailed) as caught:
        edit_plan(plan.plan.id, PlanEdit(title="moved", shift=shift), by=ADMIN, store=store)

    (told_of,) = caught.value.details["shift"]
    assert told_of.replace("for flag 'b' in 'production', ", "").replace("for flag 'a' in 'production', ", "") == reason
    assert everything(engine) == before


def test_schedules_that_somebody_has_put_at_one_instant_are_moved_together(store: SqlStore) -> None:
    create(store, "a", "b")
    plan = a_plan(store)
    first, second = (
        one for one in plan.schedules if one.flag.name.key == "a" and one.schedule.scheduled_at < after(180)
    )
    edit_schedule(named("a"), second.schedule.id, ScheduleEdit(first.schedule.scheduled_at), by=ADMIN, store=store)

    moved = edit_plan(plan.plan.id, PlanEdit(shift=Duration(seconds=30)), by=ADMIN, store=store)

    at = {one.schedule.id: one.schedule.scheduled_at for one in moved.schedules}
    assert (at[first.schedule.id], at[second.schedule.id]) == (after(90), after(90))


def test_a_shift_writes_all_in_as_many_statements_as_one_schedule(store: SqlStore, engine: sa.Engine) -> None:
    create(store, *FIFTY)
    taken = []
    for keys in (FIFTY[:1], FIFTY):
        plan = create_plan(rollout(keys, 10, 20, start=after(60)), by=ADMIN, store=store).plan.plan
        with recorded(engine) as statements:
            edit_plan(plan.id, PlanEdit(shift=Duration(seconds=1)), by=ADMIN, store=store)
        taken.append(len(statements))

    assert taken[0] == taken[1]


def test_texts_can_be_changed_also_when_nothing_is_ahead_and_a_shift_cannot(
    store: SqlStore, clock: ManualClock
) -> None:
    create(store, "a", "b")
    plan_id = a_plan(store).plan.id
    clock.at = after(180)

    edited = edit_plan(plan_id, PlanEdit(title="Launch", description="of it"), by=ADMIN, store=store).plan
    with pytest.raises(PlanEnded):
        edit_plan(plan_id, PlanEdit(title="never", shift=Duration(days=1)), by=ADMIN, store=store)

    assert (edited.title, edited.description, edited.version, edited.updated_at) == ("Launch", "of it", 2, after(180))
    assert read_plan(plan_id, store=store).plan == edited


def test_a_plan_is_changed_only_in_the_version_that_the_change_is_made_for(store: SqlStore, engine: sa.Engine) -> None:
    create(store, "a", "b")
    plan_id = a_plan(store).plan.id
    first = Precondition({(plan_id, 1)})
    edit_plan(plan_id, PlanEdit(title="Launch"), by=ADMIN, store=store, precondition=first)
    before = everything(engine)

    with pytest.raises(PlanChanged, match="version 2"):
        edit_plan(plan_id, PlanEdit(shift=Duration(days=1)), by=ADMIN, store=store, precondition=first)
    with pytest.raises(PlanChanged):
        end_plan(plan_id, by=ADMIN, store=store, precondition=first)

    assert everything(engine) == before


def test_ending_a_plan_cancels_what_is_ahead_alone(store: SqlStore, clock: ManualClock, engine: sa.Engine) -> None:
    create(store, "a", "b")
    plan_id = a_plan(store, name="launch").plan.id
    clock.at = after(60)

    ended = end_plan(plan_id, by=ADMIN, store=store)

    assert (ended.status, ended.progress) == (PlanStatus.CANCELLED, progress(applied=2, cancelled=4))
    assert told(read_plan(plan_id, store=store)) == told(ended)
    assert [(s.status, s.cancelled_by) for s in all_schedules(engine)] == [("applied", None)] * 2 + [
        ("cancelled", "ada")
    ] * 4
    assert {read_flag(named(key), store=store).flag.next_due_at for key in "ab"} == {None}
    before = everything(engine)
    with pytest.raises(PlanEnded):
        end_plan(plan_id, by=ADMIN, store=store)
    with pytest.raises(PlanEnded):
        edit_plan(plan_id, PlanEdit(title="x"), by=ADMIN, store=store)
    assert everything(engine) == before


def test_a_name_is_of_one_plan_until_that_is_ended(store: SqlStore, clock: ManualClock) -> None:
    create(store, "a", "b")
    first = a_plan(store, name="launch").plan
    with pytest.raises(PlanExists, match="'launch'"):
        a_plan(store, name="launch")
    clock.at = after(180)
    with pytest.raises(PlanExists):
        create_plan(rollout("a", 1, name="launch"), by=ADMIN, store=store)

    ended = end_plan(first.id, by=ADMIN, store=store)
    second = create_plan(rollout("a", 1, name="launch"), by=ADMIN, store=store).plan.plan

    assert ended.status is PlanStatus.DONE
    assert {one.plan.id for one in list_plans(PlanQuery(name="launch"), store=store).items} == {first.id, second.id}


def test_a_plan_that_does_not_exist_is_missing(store: SqlStore) -> None:
    with pytest.raises(PlanMissing):
        read_plan(uuid4(), store=store)
    for edit in (PlanEdit(title="x"), PlanEdit(shift=Duration(days=1))):
        with pytest.raises(PlanMissing):
            edit_plan(uuid4(), edit, by=ADMIN, store=store)
    with pytest.raises(PlanMissing):
        end_plan(uuid4(), by=ADMIN, store=store)


def test_of_an_archived_flag_the_plan_keeps_what_was_and_moves_the_rest(store: SqlStore, clock: ManualClock) -> None:
    create(store, "a", "b")
    plan_id = a_plan(store).plan.id
    clock.at = after(60)
    archive_flag(named("b"), by=ADMIN, store=store)
    create(store, "b")

    moved = edit_plan(plan_id, PlanEdit(shift=Duration(seconds=1)), by=ADMIN, store=store)

    assert moved.progress == progress(pending=2, applied=2, cancelled=2, next_at=121)
    assert {one.flag.name.key for one in moved.pending} == {"a"}
    assert read_flag(named("b"), store=store).state.version == 1
    archive_flag(named("a"), by=ADMIN, store=store)
    assert read_plan(plan_id, store=store).progress == progress(applied=2, cancelled=4)
    assert end_plan(plan_id, by=ADMIN, store=store).plan.ended_at == after(60)


def test_a_bulk_is_a_plan_that_can_be_read_moved_and_ended(store: SqlStore) -> None:
    create(store, "a")
    planned = plan_schedules(named("a"), [a_change(after(60)), a_change(after(120))], batch=True, by=ADMIN, store=store)
    plan_id = planned[0].schedule.batch_id
    assert plan_id is not None

    seen = read_plan(plan_id, store=store)
    moved = edit_plan(plan_id, PlanEdit("Launch", shift=Duration(seconds=1)), by=ADMIN, store=store)
    ended = end_plan(plan_id, by=ADMIN, store=store)

    assert (seen.plan.name, seen.plan.title, seen.plan.version, seen.plan.created_at) == (None, "", 1, NOON)
    assert moved.progress == progress(pending=2, next_at=61)
    assert (ended.status, ended.progress) == (PlanStatus.CANCELLED, progress(cancelled=2))


def ids_of(store: SqlStore, query: PlanQuery, status: PlanStatus | None = None) -> list[list[UUID]]:
    """The ids of all that is found, page by page."""
    pages = []
    while True:
        page = list_plans(query, status, store=store)
        pages.append([one.plan.id for one in page.items])
        if page.next_before is None:
            return pages
        query = replace(query, before=page.next_before)


def test_plans_are_listed_newest_first_by_what_is_asked_for(store: SqlStore, clock: ManualClock) -> None:
    create(store, "a", environments=("dev", "production"))
    made = []
    for n in range(7):
        environment = RolloutEnvironment("dev" if n % 2 else "production")
        plan = rollout(
            "a", n, start=after(60 * n + 10), environments=[environment], name=f"plan-{n}", title=f"100 %_{n}"
        )
        made.append(create_plan(plan, by=ADMIN, store=store).plan.plan.id)
        clock.advance(milliseconds=n % 2)  # Some are made at one instant.
    end_plan(made[6], by=ADMIN, store=store)
    clock.at = after(150)
    newest_first = list(chain(*ids_of(store, PlanQuery(limit=100))))

    assert set(newest_first) == set(made)
    assert [len(page) for page in ids_of(store, PlanQuery(limit=3))] == [3, 3, 1]
    for limit in (1, 2, 100):
        assert list(chain(*ids_of(store, PlanQuery(limit=limit)))) == newest_first

        def found(query: PlanQuery, status: PlanStatus | None = None, limit: int = limit) -> set[int]:
            ids = list(chain(*ids_of(store, replace(query, limit=limit), status)))
            assert ids == [one for one in newest_first if one in ids]
            return {made.index(one) for one in ids}

        assert found(PlanQuery(environment="dev")) == {1, 3, 5}
        assert found(PlanQuery(name="plan-3")) == {3}
        assert found(PlanQuery(search="LAN-4")) == {4}
        assert found(PlanQuery(search="%_")) == set(range(7))
        assert found(PlanQuery(search="_%")) == set()
        assert found(PlanQuery(), PlanStatus.DONE) == {0, 1, 2}
        assert found(PlanQuery(environment="production"), PlanStatus.UPCOMING) == {4}
        assert found(PlanQuery(), PlanStatus.CANCELLED) == {6}
        assert found(PlanQuery(), PlanStatus.RUNNING) == set()


def test_plans_of_a_status_are_found_among_many_others(store: SqlStore, clock: ManualClock) -> None:
    create(store, "a")
    wanted = create_plan(rollout("a", 1, 2), by=ADMIN, store=store).plan.plan.id
    clock.advance(seconds=1)
    for n in range(210):
        create_plan(rollout("a", 5, start=after(60 + n)), by=ADMIN, store=store)

    pages = ids_of(store, PlanQuery(limit=7), PlanStatus.RUNNING)

    assert pages == [[], [wanted]]
