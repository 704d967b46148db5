"""Conditions: what meets them, what is said where nothing does, and how they are stored."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsched.domain.agenda import Agenda
from flagsched.domain.conditions import Condition, read_condition
from flagsched.domain.flags import FlagEdit
from flagsched.domain.overrides import OverrideChange, OverrideType
from flagsched.domain.timeline import APPLIED, Skipped, replay
from flagsched.domain.updates import Change, UnreadableUpdates, Updates, planned_in, read_updates, stored_updates
from tests.builders import NOON, a_flag, a_schedule, a_state, after
from tests.domain.lives import conditions, override_changes, settings

ON_20 = a_state(enabled=True, percentage=20)


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        (Condition(enabled=True), None),
        (Condition(enabled=False), "wanted off, found on"),
        (Condition(at_least=20), None),
        (Condition(at_least=21), "wanted at least 21 %, found 20 %"),
        (Condition(at_most=20), None),
        (Condition(at_most=19), "wanted at most 19 %, found 20 %"),
        (Condition(at_least=10, at_most=30), None),
        (Condition(enabled=False, at_most=5), "wanted off, found on; wanted at most 5 %, found 20 %"),
    ],
)
def test_a_condition_says_what_was_wanted_and_what_was_found(condition: Condition, why: str | None) -> None:
    assert condition.unmet(ON_20) == (why and f"onlyIf is not met: {why}")


def test_unedited_asks_for_edits_by_hand_since_it_was_planned() -> None:
    before = a_flag(state=ON_20).edited(FlagEdit(Updates(enabled=True)), NOON)
    condition = Condition(unedited=True).planned_in(before.state.version)
    described = before.edited(FlagEdit(description="another"), NOON)
    after_edit = before.edited(FlagEdit(Updates(enabled=True)), NOON)

    assert condition.unmet(before.state) is None
    assert condition.unmet(described.state) is None
    assert condition.unmet(after_edit.state) == (
        "onlyIf is not met: wanted unedited, found an edit by hand in version 3"
    )


def test_a_schedule_is_judged_by_what_those_before_it_left() -> None:
    raised = Updates(rollout_percentage=50, only_if=Condition(at_most=20))
    plan = [
        a_schedule(at=after(1), seq=1, updates=raised),
        a_schedule(at=after(2), seq=2, updates=replace(raised, rollout_percentage=60)),
        a_schedule(at=after(2), seq=3, updates=Updates(enabled=False, only_if=Condition(at_least=50))),
    ]

    replayed = replay(a_flag(state=ON_20), Agenda.of(plan), after(5))

    why = Skipped("onlyIf is not met: wanted at most 20 %, found 50 %")
    assert [step.outcome for step in replayed.steps] == [APPLIED, why, APPLIED]
    assert (replayed.state.enabled, replayed.state.rollout_percentage, replayed.state.version) == (False, 50, 3)


def test_a_users_override_has_a_condition_too() -> None:
    ada = OverrideChange("ada", OverrideType.INCLUDE, Condition(enabled=False))
    flag = a_flag(state=ON_20)

    skipped = replay(flag, Agenda.of([a_schedule(at=after(1), seq=1, updates=ada)]), after(5))
    applied = replay(
        flag, Agenda.of([a_schedule(at=after(1), seq=1, updates=ada.under(Condition(enabled=True)))]), after(5)
    )

    assert skipped.state == flag.state
    assert applied.state.overrides == (OverrideChange("ada", OverrideType.INCLUDE),)


def test_of_users_only_those_whose_overrides_are_changed_are_recorded() -> None:
    skipped = OverrideChange("ada", OverrideType.EXCLUDE, Condition(enabled=False))
    plan = [
        a_schedule(at=after(1), seq=1, updates=skipped),
        a_schedule(at=after(1), seq=2, updates=OverrideChange("bob", OverrideType.EXCLUDE)),
    ]

    replayed = replay(a_flag(state=ON_20), Agenda.of(plan), after(5))

    assert [*replayed.overridden] == ["bob"]


@given(settings | override_changes, conditions, st.integers(1, 9))
def test_what_is_stored_is_read_as_it_was(change: Change, condition: Condition | None, version: int) -> None:
    planned = planned_in(change.under(condition), version)

    read = read_updates(json.loads(json.dumps(stored_updates(planned))))

    assert read == planned
    assert read.only_if is None or read.only_if.planned_version == (version if read.only_if.unedited else None)


@given(settings | override_changes, conditions.filter(bool))
def test_a_release_without_conditions_can_not_read_a_change_that_has_one(change: Change, condition: Condition) -> None:
    stored = stored_updates(planned_in(change.under(condition), 1))

    assert stored is not None
    assert stored.keys() == change.as_json().keys() | {"onlyIf"}


STRANGE: dict[str, Any] = {
    "null": None,
    "a list": [],
    "nothing": {},
    "another field": {"enabled": True, "flag": "b"},
    "a text for a boolean": {"enabled": "true"},
    "a number for bounds": {"rolloutPercentage": 5},
    "another bound": {"rolloutPercentage": {"atLeast": 5, "about": 7}},
    "a text for a bound": {"rolloutPercentage": {"atLeast": "5"}},
    "bounds the wrong way round": {"rolloutPercentage": {"atLeast": 6, "atMost": 5}},
    "unedited without a version": {"unedited": True},
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_condition_that_can_not_be_read_makes_the_schedule_unreadable(name: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_condition(STRANGE[name])
    assert isinstance(read_updates({"enabled": True, "onlyIf": STRANGE[name]}), UnreadableUpdates)
