"""Timelines and previews, on every database."""

from collections.abc import Callable
from datetime import datetime

import pytest
import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import DuplicateInstants, FlagMissing, InstantsRefused, QuotaExceeded
from flagsched.domain.flags import FlagEdit, FlagName
from flagsched.domain.holds import NewHold
from flagsched.domain.limits import ScheduleLimits
from flagsched.domain.segments import Cause, Segment
from flagsched.domain.updates import Updates
from flagsched.ports.flags import FlagQuery
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.flags import create_flag, edit_flag, read_flag
from flagsched.usecases.holds import hold_flag
from flagsched.usecases.materialise import materialise_due
from flagsched.usecases.schedules import plan_schedules
from flagsched.usecases.timeline import list_timelines, preview_schedules, read_timeline
from tests.builders import ADMIN, CHECKOUT, NOON, ManualClock, a_change, a_new_flag, after
from tests.recorder import recorded
from tests.rows import all_history, all_schedules, count


@pytest.fixture(autouse=True)
def _a_flag(store: SqlStore) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)


def plan(store: SqlStore, *seconds: float) -> None:
    changes = [a_change(after(s), rollout_percentage=int(s)) for s in seconds]
    plan_schedules(CHECKOUT, changes, batch=True, by=ADMIN, store=store)


@pytest.fixture
def record(store: SqlStore) -> Callable[[], None]:
    backoff = Backoff(lambda: 0.0)

    def drain() -> None:
        while materialise_due(store, backoff).flags:
            pass

    return drain


def told(segments: "list[Segment]") -> list[tuple[datetime, datetime | None, int, int]]:
    return [(s.start, s.end, s.state.rollout_percentage, s.state.version) for s in segments]


def a_life(store: SqlStore, clock: ManualClock, record: Callable[[], None]) -> None:
    """Created at noon, applied at 10 and edited at 20; 30 is in effect and not recorded, 40 is to come."""
    plan(store, 10, 30, 40)
    clock.at = after(20)
    record()
    edit_flag(CHECKOUT, FlagEdit(Updates(rollout_percentage=20)), by=ADMIN, store=store)
    clock.at = after(35)


WHOLE = [
    (NOON, after(10), 100, 1),
    (after(10), after(20), 10, 2),
    (after(20), after(30), 20, 3),
    (after(30), after(40), 30, 4),
    (after(40), None, 40, 5),
]


def test_a_timeline_tells_past_and_future_recorded_or_not(
    store: SqlStore, clock: ManualClock, record: Callable[[], None], engine: sa.Engine
) -> None:
    a_life(store, clock, record)

    before = read_timeline(CHECKOUT, None, None, store=store)
    record()

    assert told(list(before.segments)) == WHOLE
    assert read_timeline(CHECKOUT, None, None, store=store) == before
    first, second, third = (s.id for s in all_schedules(engine))
    entries = {e.action: e.id for e in all_history(engine)}
    assert [s.cause for s in before.segments] == [
        Cause(entry_id=entries["flag.created"]),
        Cause(schedule_id=first),
        Cause(entry_id=entries["flag.updated"]),
        Cause(schedule_id=second),
        Cause(schedule_id=third),
    ]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (after(-99), after(-9), []),
        (after(-99), NOON, []),
        (after(-99), after(5), [(NOON, after(5), 100, 1)]),
        (after(10), after(20), [WHOLE[1]]),
        (after(15), after(25), [(after(15), after(20), 10, 2), (after(20), after(25), 20, 3)]),
        (after(32), after(33), [(after(32), after(33), 30, 4)]),
        (after(50), None, [(after(50), None, 40, 5)]),
        (None, after(10), [WHOLE[0]]),
    ],
)
def test_a_window_of_a_timeline_is_half_open(
    store: SqlStore,
    clock: ManualClock,
    record: Callable[[], None],
    start: datetime | None,
    end: datetime | None,
    expected: object,
) -> None:
    a_life(store, clock, record)

    assert told(list(read_timeline(CHECKOUT, start, end, store=store).segments)) == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_a_long_timeline_comes_in_parts_that_fit_together(
    store: SqlStore, clock: ManualClock, record: Callable[[], None], limit: int
) -> None:
    a_life(store, clock, record)
    record()

    parts, start = [], None
    while True:
        part = read_timeline(CHECKOUT, start, None, store=store, limit=limit)
        parts += told(list(part.segments))
        if part.next_start is None:
            break
        start = part.next_start

    assert parts == WHOLE


def test_a_timeline_takes_as_many_statements_for_many_changes_as_for_one(
    store: SqlStore, clock: ManualClock, record: Callable[[], None], engine: sa.Engine
) -> None:
    plan(store, 60)
    with recorded(engine) as few:
        read_timeline(CHECKOUT, None, None, store=store)
    plan(store, *range(1, 51))
    clock.at = after(25)
    record()

    with recorded(engine) as many:
        assert len(read_timeline(CHECKOUT, None, None, store=store).segments) == 52

    assert len(many) == len(few)


def test_a_preview_tells_what_would_be_and_writes_nothing(
    store: SqlStore, clock: ManualClock, record: Callable[[], None], engine: sa.Engine
) -> None:
    a_life(store, clock, record)
    rows = [count(engine, table) for table in ("feature_flag_schedules", "feature_flag_history")]

    preview = preview_schedules(CHECKOUT, [a_change(after(50), rollout_percentage=7), a_change(after(38))], store=store)

    assert told(list(preview.segments)) == [
        (after(35), after(38), 30, 4),
        (after(38), after(40), 30, 5),
        (after(40), after(50), 40, 6),
        (after(50), None, 7, 7),
    ]
    assert [s.cause.draft for s in preview.segments] == [None, 1, None, 0]
    assert [s.schedule.scheduled_at for s in preview.conflicts] == [after(40)]
    assert [count(engine, table) for table in ("feature_flag_schedules", "feature_flag_history")] == rows
    assert not read_flag(CHECKOUT, store=store).materialized


def test_a_preview_comes_about_when_its_drafts_are_created(
    store: SqlStore, clock: ManualClock, record: Callable[[], None]
) -> None:
    a_life(store, clock, record)
    drafts = [a_change(after(40), rollout_percentage=7), a_change(after(38))]
    foreseen = told(list(preview_schedules(CHECKOUT, drafts, store=store).segments))

    plan_schedules(CHECKOUT, drafts, batch=True, by=ADMIN, store=store)
    clock.at = after(90)
    record()

    assert told(list(read_timeline(CHECKOUT, after(35), None, store=store).segments)) == foreseen


def test_without_drafts_a_preview_is_the_plan_from_now_on(
    store: SqlStore, clock: ManualClock, record: Callable[[], None]
) -> None:
    a_life(store, clock, record)

    preview = preview_schedules(CHECKOUT, [], store=store)

    assert preview.segments == read_timeline(CHECKOUT, after(35), None, store=store).segments
    assert preview.conflicts == []


def test_drafts_are_judged_like_schedules_that_are_created(store: SqlStore, clock: ManualClock) -> None:
    plan(store, 10, 20, 30)
    clock.at = after(10)
    limits = ScheduleLimits(pending=3)

    with pytest.raises(DuplicateInstants):
        preview_schedules(CHECKOUT, [a_change(after(15)), a_change(after(15))], store=store)
    with pytest.raises(InstantsRefused, match="The request is not valid"):
        preview_schedules(CHECKOUT, [a_change(after(10))], store=store)
    with pytest.raises(QuotaExceeded):
        preview_schedules(CHECKOUT, [a_change(after(15)), a_change(after(16))], store=store, limits=limits)
    preview_schedules(CHECKOUT, [a_change(after(15))], store=store, limits=limits)


def test_the_time_of_a_missing_flag_is_not_told(store: SqlStore) -> None:
    none = FlagName("staging", "new-checkout")

    with pytest.raises(FlagMissing):
        read_timeline(none, None, None, store=store)
    with pytest.raises(FlagMissing):
        preview_schedules(none, [], store=store)


def test_the_timelines_of_many_flags_are_those_of_each(
    store: SqlStore, clock: ManualClock, record: Callable[[], None]
) -> None:
    other = FlagName("production", "other")
    create_flag(a_new_flag("other"), by=ADMIN, store=store)
    a_life(store, clock, record)
    plan_schedules(other, [a_change(after(45), enabled=True)], batch=False, by=ADMIN, store=store)
    hold_flag(other, NewHold("too slow", ends_at=after(60)), by=ADMIN, store=store)

    page = list_timelines(FlagQuery("production"), after(15), after(50), store=store)

    assert [one.flag for one in page.items] == [read_flag(name, store=store) for name in (CHECKOUT, other)]
    assert [one.timeline for one in page.items] == [
        read_timeline(name, after(15), after(50), store=store) for name in (CHECKOUT, other)
    ]
    assert told(list(page.items[0].timeline.segments)) == [
        (after(15), after(20), 10, 2),
        *WHOLE[2:4],
        (*WHOLE[4][:1], after(50), *WHOLE[4][2:]),
    ]
    assert page.items[1].timeline.deferred


def test_timelines_with_too_long_a_past_begin_where_none_of_it_is_missing(
    store: SqlStore, clock: ManualClock, record: Callable[[], None]
) -> None:
    create_flag(a_new_flag("other"), by=ADMIN, store=store)
    a_life(store, clock, record)
    record()

    page = list_timelines(FlagQuery("production"), NOON, after(50), store=store, limit=2)

    assert [told(list(one.timeline.segments))[0][:2] for one in page.items] == [
        (after(20), after(30)),
        (after(20), after(50)),
    ]
