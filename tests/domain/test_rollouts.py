"""Rollouts: the product of flags, environments and steps, where each instant comes from, and ramps."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsched.domain.durations import Duration
from flagsched.domain.errors import PLAN_REFUSED, DuplicateInstants, InstantsRefused, Path
from flagsched.domain.flags import FlagName
from flagsched.domain.local_times import Fold, LocalTime, text_of
from flagsched.domain.rollouts import Rollout, RolloutEnvironment, RolloutStep, ramp
from flagsched.domain.schedules import PlanItem, refuse_duplicates
from flagsched.domain.updates import Updates
from tests.builders import NOON

BERLIN = "Europe/Berlin"
HOUR = Duration(0, 3600)
ON = Updates(enabled=True)
OFF = Updates(enabled=False)

keys = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)
offsets = st.none() | st.builds(Duration, st.integers(0, 3), st.integers(0, 100_000))
environments = st.lists(
    st.builds(RolloutEnvironment, st.sampled_from(["dev", "staging", "production"]), offsets),
    min_size=1,
    max_size=3,
    unique_by=lambda one: one.name,
)
waits = st.builds(Duration, st.integers(0, 3), st.integers(1, 100_000))
later_steps = st.lists(st.builds(RolloutStep, st.sampled_from([ON, OFF]), waits), max_size=4)


def a_rollout(*steps: RolloutStep, **other: Any) -> Rollout:
    values: dict[str, Any] = {"flags": ["a"], "environments": [RolloutEnvironment("production")]} | other
    return Rollout(steps=steps or [RolloutStep(ON)], **values)


def told(rollout: Rollout, start: datetime = NOON) -> list[tuple[str, str, datetime, object, Path]]:
    return [
        (item.name.environment, item.name.key, item.change.scheduled_at, item.change.updates, item.path)
        for item in rollout.starting(start)
    ]


def locals_of(rollout: Rollout) -> list[str | None]:
    return [text_of(item.change.local) for item in rollout.starting(NOON)]


def refusal(rollout: Rollout) -> Any:
    with pytest.raises(InstantsRefused) as caught:
        rollout.starting(NOON)
    assert caught.value.message == PLAN_REFUSED
    return caught.value.details


def updates_of(step: RolloutStep) -> Updates:
    assert isinstance(step.updates, Updates)
    return step.updates


def percentages(steps: list[RolloutStep]) -> list[int]:
    found = (updates_of(step).rollout_percentage for step in steps)
    return [one for one in found if one is not None]


def test_a_rollout_is_told_by_environment_then_step_then_flag() -> None:
    rollout = a_rollout(
        RolloutStep(ON),
        RolloutStep(OFF, HOUR),
        flags=["b", "a"],
        environments=[RolloutEnvironment("staging"), RolloutEnvironment("dev", Duration(1))],
        start=NOON,
    )

    hour, day = timedelta(hours=1), timedelta(days=1)
    assert told(rollout) == [
        ("staging", "b", NOON, ON, ("startAt",)),
        ("staging", "a", NOON, ON, ("startAt",)),
        ("staging", "b", NOON + hour, OFF, ("steps", 1, "after")),
        ("staging", "a", NOON + hour, OFF, ("steps", 1, "after")),
        ("dev", "b", NOON + day, ON, ("environments", 1, "offset")),
        ("dev", "a", NOON + day, ON, ("environments", 1, "offset")),
        ("dev", "b", NOON + day + hour, OFF, ("steps", 1, "after")),
        ("dev", "a", NOON + day + hour, OFF, ("steps", 1, "after")),
    ]


@given(keys, environments, later_steps, st.sampled_from([None, BERLIN, "Australia/Lord_Howe"]))
def test_each_flag_gets_each_step_in_each_environment_at_an_instant_of_its_own(
    flags: list[str], places: list[RolloutEnvironment], later: list[RolloutStep], zone: str | None
) -> None:
    steps = [RolloutStep(ON), *later]
    rollout = a_rollout(*steps, flags=flags, environments=places, zone=zone)

    items = rollout.starting(NOON)

    assert len(items) == len(flags) * len(places) * len(steps)
    assert len({(item.name, item.change.scheduled_at) for item in items}) == len(items)
    assert {item.name for item in items} == set(rollout.names)
    assert rollout.names == {FlagName(place.name, key) for place in places for key in flags}
    refuse_duplicates(items)


@given(keys, environments, later_steps)
def test_each_step_follows_the_one_before_by_its_length(
    flags: list[str], places: list[RolloutEnvironment], later: list[RolloutStep]
) -> None:
    steps = [RolloutStep(ON), *later]
    items = list(a_rollout(*steps, flags=flags, environments=places).starting(NOON))

    for i, place in enumerate(places):
        at = NOON + (place.offset or Duration()).exact
        for j, step in enumerate(steps):
            at += (step.after or Duration()).exact
            first = (i * len(steps) + j) * len(flags)
            assert {item.change.scheduled_at for item in items[first : first + len(flags)]} == {at}


def test_a_rollout_without_a_start_starts_when_it_is_created() -> None:
    rollout = a_rollout()

    assert rollout.starts_now
    assert told(rollout, NOON) == [("production", "a", NOON, ON, ("startAt",))]


def test_a_first_step_may_wait_too() -> None:
    assert told(a_rollout(RolloutStep(ON, HOUR), start=NOON)) == [
        ("production", "a", NOON + timedelta(hours=1), ON, ("steps", 0, "after"))
    ]


def test_a_rollout_in_local_time_keeps_its_local_hour_over_a_change() -> None:
    rollout = a_rollout(
        RolloutStep(ON),
        RolloutStep(OFF, Duration(1)),
        RolloutStep(ON, Duration.parse("PT24H")),
        environments=[RolloutEnvironment("dev"), RolloutEnvironment("production", Duration(1))],
        start=LocalTime.parse("2026-10-24T09:00", BERLIN),
        zone=BERLIN,
    )

    assert not rollout.starts_now
    assert [path for *_, path in told(rollout)[:2]] == [("localTime",), ("steps", 1, "after")]
    assert locals_of(rollout) == [
        "2026-10-24T09:00:00", "2026-10-25T09:00:00", "2026-10-26T09:00:00",
        "2026-10-25T09:00:00", "2026-10-26T09:00:00", "2026-10-27T09:00:00",
    ]  # fmt: skip


def test_exact_hours_over_a_change_move_the_local_hour() -> None:
    start = LocalTime.parse("2026-10-24T09:00", BERLIN)
    exact = a_rollout(RolloutStep(ON), RolloutStep(OFF, Duration.parse("PT24H")), start=start, zone=BERLIN)

    assert locals_of(exact) == ["2026-10-24T09:00:00", "2026-10-25T08:00:00"]


def test_days_have_24_hours_where_no_zone_is_given() -> None:
    start = datetime(2026, 10, 24, 7, tzinfo=UTC)
    rollout = a_rollout(RolloutStep(ON), RolloutStep(OFF, Duration(1)), start=start)

    assert [at for _, _, at, _, _ in told(rollout)] == [start, start + timedelta(hours=24)]
    assert locals_of(rollout) == [None, None]


def test_a_zone_alone_counts_the_days_and_gives_each_step_its_local_time() -> None:
    start = datetime(2026, 10, 24, 7, tzinfo=UTC)
    rollout = a_rollout(RolloutStep(ON), RolloutStep(OFF, Duration(1)), start=start, zone=BERLIN)

    assert locals_of(rollout) == ["2026-10-24T09:00:00", "2026-10-25T09:00:00"]


GAP = (
    "leads to 2026-03-29T02:30:00, which does not exist in Europe/Berlin: "
    "the clocks go from 2026-03-29T02:00:00 to 2026-03-29T03:00:00; "
    "take 2026-03-29T01:30:00+01:00 or 2026-03-29T03:30:00+02:00"
)
TWICE = "exists twice in Europe/Berlin, as 2026-10-25T02:30:00+02:00 and 2026-10-25T02:30:00+01:00"
CHOOSE = ": 'fold' chooses, by 'earlier' or 'later'"


def in_berlin(text: str, fold: Fold | None = None) -> dict[str, Any]:
    return {"start": LocalTime.parse(text, BERLIN, fold), "zone": BERLIN}


def test_a_step_that_leads_into_a_gap_is_refused_where_it_says_how_long_it_waits() -> None:
    rollout = a_rollout(RolloutStep(ON), RolloutStep(OFF, Duration(1)), **in_berlin("2026-03-28T02:30"))

    assert refusal(rollout) == {"steps": {1: {"after": [GAP]}}}


def test_an_offset_that_leads_into_a_gap_is_refused_where_it_stands() -> None:
    places = [RolloutEnvironment("dev"), RolloutEnvironment("production", Duration(1))]

    assert refusal(a_rollout(environments=places, **in_berlin("2026-03-28T02:30"))) == {
        "environments": {1: {"offset": [GAP]}}
    }


def test_a_start_that_does_not_exist_or_exists_twice_is_refused_as_local_time() -> None:
    assert refusal(a_rollout(**in_berlin("2026-03-29T02:30"))) == {
        "localTime": [GAP.removeprefix("leads to 2026-03-29T02:30:00, which ")]
    }
    assert refusal(a_rollout(**in_berlin("2026-10-25T02:30"))) == {"localTime": [TWICE + CHOOSE]}


@pytest.mark.parametrize("start", [in_berlin("2026-10-24T02:30"), {"start": datetime(2026, 10, 24, 0, 30, tzinfo=UTC)}])
def test_a_step_that_leads_to_a_time_that_exists_twice_says_how_to_choose(start: dict[str, Any]) -> None:
    rollout = a_rollout(RolloutStep(ON), RolloutStep(OFF, Duration(1)), **{"zone": BERLIN} | start)

    assert refusal(rollout) == {
        "steps": {1: {"after": [f"leads to 2026-10-25T02:30:00, which {TWICE}{CHOOSE}, beside 'localTime'"]}}
    }


@pytest.mark.parametrize(("fold", "hour"), [(Fold.EARLIER, 0), (Fold.LATER, 1)])
def test_the_fold_of_the_start_chooses_for_steps_too(fold: Fold, hour: int) -> None:
    rollout = a_rollout(RolloutStep(ON), RolloutStep(OFF, Duration(1)), **in_berlin("2026-10-24T02:30", fold))

    last = rollout.starting(NOON)[1].change
    assert last.scheduled_at == datetime(2026, 10, 25, hour, 30, tzinfo=UTC)
    assert last.local == LocalTime.parse("2026-10-25T02:30", BERLIN, fold)


@pytest.mark.parametrize(
    ("rollout", "path", "reason"),
    [
        (a_rollout(RolloutStep(ON), RolloutStep(OFF, Duration(2))), ("steps", 1, "after"), "leads out of the calendar"),
        (
            a_rollout(environments=[RolloutEnvironment("dev", Duration(2))]),
            ("environments", 0, "offset"),
            "leads out of the calendar",
        ),
        (
            a_rollout(zone="Asia/Tokyo"),
            ("startAt",),
            "must be in the years 0001 to 9999 also in Asia/Tokyo",
        ),
        (
            a_rollout(RolloutStep(ON, Duration(0, 1)), zone="Asia/Tokyo"),
            ("steps", 0, "after"),
            "must be in the years 0001 to 9999 also in Asia/Tokyo",
        ),
    ],
)
def test_what_leads_out_of_the_calendar_is_refused_where_it_stands(rollout: Rollout, path: Path, reason: str) -> None:
    with pytest.raises(InstantsRefused) as caught:
        rollout.starting(datetime(9999, 12, 31, 23, tzinfo=UTC))

    assert caught.value.reasons == {path: reason}


@pytest.mark.parametrize("back", [Duration(-1), Duration(0, -1)])
def test_no_step_and_no_environment_goes_back_in_time(back: Duration) -> None:
    assert refusal(a_rollout(RolloutStep(ON), RolloutStep(OFF, back))) == {
        "steps": {1: {"after": ["must not go back in time"]}}
    }
    assert refusal(a_rollout(environments=[RolloutEnvironment("dev", back)])) == {
        "environments": {0: {"offset": ["must not go back in time"]}}
    }


@pytest.mark.parametrize("wait", [None, Duration()])
@pytest.mark.parametrize(("first", "offset"), [(None, None), (HOUR, None), (None, HOUR)])
def test_two_steps_at_one_instant_are_duplicates(
    first: Duration | None, offset: Duration | None, wait: Duration | None
) -> None:
    rollout = a_rollout(
        RolloutStep(ON, first), RolloutStep(OFF, wait), environments=[RolloutEnvironment("dev", offset)], start=NOON
    )

    with pytest.raises(DuplicateInstants) as caught:
        refuse_duplicates(rollout.starting(NOON))

    assert caught.value.details == {"steps": {1: {"after": ["is the same instant as in steps[0]"]}}}


def test_environments_that_start_together_are_no_duplicates() -> None:
    items: list[PlanItem] = list(
        a_rollout(environments=[RolloutEnvironment("dev"), RolloutEnvironment("production")]).starting(NOON)
    )

    assert len({item.change.scheduled_at for item in items}) == 1
    refuse_duplicates(items)


@pytest.mark.parametrize(
    ("start", "end", "steps", "curve", "expected"),
    [
        (0, 100, 2, "linear", [0, 100]),
        (0, 100, 5, "linear", [0, 25, 50, 75, 100]),
        (5, 100, 4, "linear", [5, 37, 68, 100]),
        (100, 0, 3, "linear", [100, 50, 0]),
        (1, 100, 3, "exponential", [1, 10, 100]),
        (1, 64, 7, "exponential", [1, 2, 4, 8, 16, 32, 64]),
        (100, 1, 3, "exponential", [100, 10, 1]),
        (5, 6, 2, "exponential", [5, 6]),
    ],
)
def test_a_ramp_has_both_ends_and_even_steps_or_even_factors(
    start: int, end: int, steps: int, curve: str, expected: list[int]
) -> None:
    assert percentages(ramp(start, end, steps, HOUR, exponential=curve == "exponential")) == expected


@given(st.integers(0, 100), st.integers(0, 100), st.integers(2, 101), st.booleans(), st.booleans())
def test_a_ramp_goes_one_way_from_end_to_end_or_is_refused(
    start: int, end: int, steps: int, exponential: bool, enable: bool
) -> None:
    try:
        found = ramp(start, end, steps, HOUR, exponential=exponential, enable=enable)
    except ValueError:
        assert start == end or steps > abs(end - start) + 1 or exponential
        return

    values = percentages(found)
    assert (len(values), values[0], values[-1]) == (steps, start, end)
    assert values == sorted(set(values), reverse=start > end)
    assert [step.after for step in found] == [None] + [HOUR] * (steps - 1)
    assert [updates_of(step).enabled for step in found] == [True if enable else None] + [None] * (steps - 1)


@pytest.mark.parametrize(
    ("start", "end", "steps", "exponential", "reason"),
    [
        (0, 100, 1, False, "must be at least 2, one for each end"),
        (0, 100, 0, False, "must be at least 2, one for each end"),
        (5, 5, 2, False, "must lead from one percentage to another, not from 5 to 5"),
        (0, 100, 3, True, "must begin and end at 1 or more where the curve is exponential"),
        (100, 0, 3, True, "must begin and end at 1 or more where the curve is exponential"),
        (0, 3, 5, False, r"are more than there are percentages for, from 0 to 3: \[0, 1, 2, 2, 3\]"),
        (1, 5, 5, True, r"are more than there are percentages for, from 1 to 5: \[1, 1, 2, 3, 5\]"),
    ],
)
def test_a_ramp_whose_steps_could_not_be_told_apart_is_refused(
    start: int, end: int, steps: int, exponential: bool, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        ramp(start, end, steps, HOUR, exponential=exponential)
