"""The preview of a plan, on every database: just what its creation brings about, and nothing is written."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.durations import Duration
from flagsched.domain.effective import EffectiveSchedule
from flagsched.domain.errors import DuplicateInstants, FlagsMissing
from flagsched.domain.flags import FlagName
from flagsched.domain.overrides import SETS, OverrideChange, OverrideType
from flagsched.domain.plans import NewPlan
from flagsched.domain.rollouts import Rollout, RolloutEnvironment, RolloutStep
from flagsched.domain.segments import Cause, Segment
from flagsched.domain.updates import Change, Updates
from flagsched.ports.overrides import OverrideQuery
from flagsched.usecases.doctor import examine
from flagsched.usecases.overrides import list_overrides
from flagsched.usecases.plans import create_plan, preview_plan
from flagsched.usecases.schedules import plan_schedules
from flagsched.usecases.timeline import read_timeline
from tests.builders import ADMIN, ManualClock, a_change, after
from tests.plans import ON, asked, create, listed, named, rollout
from tests.rows import everything

KEYS = ("a", "b")
ENVIRONMENTS = ("dev", "production")
seconds = st.integers(min_value=1, max_value=6)  # Few instants, so that ties with what is planned are common.
updates = st.builds(Updates, enabled=st.none() | st.booleans(), rollout_percentage=st.integers(0, 100))
changes = updates | st.builds(OverrideChange, st.sampled_from(["ada", "bob"]), st.sampled_from([*SETS.values()]))
places = st.tuples(st.sampled_from(KEYS), st.sampled_from(ENVIRONMENTS))
lists = st.dictionaries(st.tuples(places, seconds), changes, min_size=1, max_size=8)
products = st.tuples(
    st.lists(st.sampled_from(KEYS), min_size=1, unique=True),
    st.dictionaries(st.sampled_from(ENVIRONMENTS), st.integers(0, 3), min_size=1),
    changes,
    st.lists(st.tuples(seconds, changes), max_size=4),
    st.none() | seconds,
)
numbers = count()


def the_list(changes: dict[tuple[tuple[str, str], int], Change], number: int, now: datetime) -> NewPlan:
    base = (now - after(0)).total_seconds()
    return listed(*(asked(f"{key}-{number}", base + s, sets, env) for ((key, env), s), sets in changes.items()))


def the_product(drawn: tuple[list[str], dict[str, int], Change, list[tuple[int, Change]], int | None], number: int,
                now: datetime) -> NewPlan:  # fmt: skip
    keys, offsets, first, steps, start = drawn
    environments = [RolloutEnvironment(name, Duration(seconds=offset)) for name, offset in offsets.items()]
    later = [RolloutStep(sets, Duration(seconds=apart)) for apart, sets in steps]
    begins = None if start is None else now + timedelta(seconds=start)
    return NewPlan(Rollout([f"{key}-{number}" for key in keys], environments, [RolloutStep(first), *later], begins))


def as_created(cause: Cause, created: Sequence[EffectiveSchedule]) -> Cause:
    """The same cause, once the drafts have become these schedules."""
    return cause if cause.draft is None else Cause(created[cause.draft].schedule.id)


Users = dict[str, OverrideType]


def as_read(segment: Segment, now: Users) -> tuple[Segment, Users]:
    """A segment as readers have it: the state, and who is set apart, by who is now and what is not written yet."""
    users: dict[str, OverrideType | None] = {**now}
    for change in segment.state.overrides:
        users[change.user_id] = change.kind
    return (
        replace(segment, state=segment.state.written),
        {user_id: kind for user_id, kind in users.items() if kind is not None},
    )


def set_apart(name: FlagName, store: SqlStore) -> Users:
    return {one.user_id: one.kind for one in list_overrides(name, OverrideQuery(), store=store).items}


@pytest.mark.parametrize("kind", ["list", "product"])
def test_what_a_preview_shows_comes_about(store: SqlStore, engine: sa.Engine, clock: ManualClock, kind: str) -> None:
    made = {
        "list": st.builds(partial(partial, the_list), lists),
        "product": st.builds(partial(partial, the_product), products),
    }

    @settings(suppress_health_check=list(HealthCheck), database=None)
    @given(
        pending=st.dictionaries(places, st.dictionaries(seconds, updates, min_size=1), max_size=4),
        passed=st.sampled_from([0, 0.5, 2, 10]),
        make=made[kind],
    )
    def preview_and_create(
        pending: dict[tuple[str, str], dict[int, Updates]], passed: float, make: Callable[[int, datetime], NewPlan]
    ) -> None:
        number = next(numbers)
        create(store, *(f"{key}-{number}" for key in KEYS), environments=ENVIRONMENTS)
        for (key, environment), agenda in pending.items():
            ahead = [a_change(clock.at + timedelta(seconds=s), **parts(sets)) for s, sets in agenda.items()]
            plan_schedules(named(f"{key}-{number}", environment), ahead, batch=True, by=ADMIN, store=store)
        clock.advance(seconds=passed)
        plan = make(number, clock.at)
        before = everything(engine)

        previews = preview_plan(plan, store=store)

        assert everything(engine) == before
        users = {name: set_apart(name, store) for name in previews}
        created = create_plan(plan, by=ADMIN, store=store).schedules
        assert previews.keys() == {one.flag.name for one in created}
        for name, preview in previews.items():
            own = [one for one in created if one.flag.name == name]
            timeline = read_timeline(name, clock.at, None, store=store)
            shown = [replace(one, cause=as_created(one.cause, own)) for one in preview.segments]
            users_now = set_apart(name, store)
            assert [as_read(one, users[name]) for one in shown] == [
                as_read(one, users_now) for one in timeline.segments
            ]

    preview_and_create()
    assert [one for one in examine(store, clock.at) if not one.ok and one.check != "record"] == []


def parts(sets: Updates) -> dict[str, object]:
    return {
        field: value
        for field, value in (("enabled", sets.enabled), ("rollout_percentage", sets.rollout_percentage))
        if value is not None
    }


def test_a_preview_names_what_is_in_its_way(store: SqlStore) -> None:
    create(store, "a", "b")
    for key in "ab":
        ahead = [
            a_change(after(90), rollout_percentage=7),
            a_change(after(100)),
            a_change(after(500), rollout_percentage=8),
        ]
        plan_schedules(named(key), ahead, batch=True, by=ADMIN, store=store)

    previews = preview_plan(rollout("a", 10, 20, start=after(60)), store=store)

    (preview,) = previews.values()
    assert [one.schedule.updates for one in preview.conflicts] == [Updates(rollout_percentage=7)]


def test_a_preview_is_refused_for_what_the_creation_is_refused_for(store: SqlStore, engine: sa.Engine) -> None:
    create(store, "a")
    before = everything(engine)

    with pytest.raises(FlagsMissing):
        preview_plan(listed(asked("a", 1), asked("x", 1)), store=store)
    with pytest.raises(DuplicateInstants):
        preview_plan(listed(asked("a", 1), asked("a", 1, ON)), store=store)

    assert everything(engine) == before


def test_flags_are_previewed_by_environment_and_key(store: SqlStore) -> None:
    names = create(store, "a", "b", environments=ENVIRONMENTS)

    previews = preview_plan(listed(*(asked(n.key, 1, ON, n.environment) for n in reversed(names))), store=store)

    assert list(previews) == [FlagName(environment, key) for environment in ENVIRONMENTS for key in KEYS]
