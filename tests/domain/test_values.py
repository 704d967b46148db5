"""Values that refuse to be born wrong, and functions that take whatever they are given."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsched.domain.errors import (
    BULK_REFUSED,
    AlreadyApplied,
    AlreadyCancelled,
    AlreadyFailed,
    DuplicateInstants,
    FlagMissing,
    InstantsRefused,
    QuotaExceeded,
)
from flagsched.domain.flags import FlagEdit, FlagName
from flagsched.domain.instants import rfc3339, to_milliseconds
from flagsched.domain.limits import ScheduleLimits
from flagsched.domain.schedules import (
    PlanItem,
    PlannedChange,
    Status,
    items_of_batch,
    number_schedules,
    refuse_duplicates,
)
from flagsched.domain.updates import UnreadableUpdates, Updates, read_updates
from tests.builders import NOON, a_change, a_flag, a_schedule, a_state, after

NAME = a_flag().name
TOKYO = timezone(timedelta(hours=9))
NAMES = ["enabled", "rolloutPercentage", "override", "userId", "set"]
UNSETTABLE = "override names no user, or sets none of: include, exclude, remove"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda below: st.lists(below) | st.dictionaries(st.text() | st.sampled_from(NAMES), below),
)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "neither"),
        ({"enabled": 1}, "boolean"),
        ({"enabled": "true"}, "boolean"),
        ({"rollout_percentage": True}, "integer"),
        ({"rollout_percentage": 25.0}, "integer"),
        ({"rollout_percentage": -1}, "0 to 100"),
        ({"rollout_percentage": 101}, "0 to 100"),
    ],
)
def test_updates_that_no_flag_can_have_cannot_be_built(values: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Updates(**values)  # type: ignore[arg-type]


@given(json_values)
def test_reading_stored_updates_never_fails(stored: object) -> None:
    read = read_updates(stored)

    if isinstance(read, UnreadableUpdates):
        assert read.reason
    else:
        assert read.as_json() == stored


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (None, "updates are not a JSON object"),
        ([True], "updates are not a JSON object"),
        ({}, "updates set neither enabled nor rolloutPercentage"),
        ({"enabled": None}, "enabled is null"),
        ({"enabled": True, "percent": 5}, "updates have unknown fields: percent"),
        ({"rolloutPercentage": 250}, "rolloutPercentage is not an integer from 0 to 100"),
        ({"override": {"userId": "ada", "set": "include"}, "enabled": True}, "updates have unknown fields: override"),
        ({"override": "ada"}, "override is not a JSON object of userId and set"),
        ({"override": {"userId": "ada"}}, "override is not a JSON object of userId and set"),
        ({"override": {"userId": "ada", "set": ["include"]}}, UNSETTABLE),
        ({"override": {"userId": "ada", "set": "toggle"}}, UNSETTABLE),
        ({"override": {"userId": 5, "set": "include"}}, UNSETTABLE),
        ({"override": {"userId": "/", "set": "remove"}}, "the user's id is not one that an override can name"),
    ],
)
def test_unreadable_updates_say_why(stored: object, reason: str) -> None:
    assert read_updates(stored) == UnreadableUpdates(reason)


def test_a_change_with_a_naive_instant_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="time zone"):
        PlannedChange(datetime(2096, 6, 1, 12, 0), Updates(enabled=True))  # noqa: DTZ001 - what is tested


def test_instants_are_kept_in_utc_to_the_millisecond() -> None:
    change = a_change(datetime(2096, 6, 1, 21, 0, 0, 123_987, tzinfo=TOKYO))

    assert change.scheduled_at == NOON + timedelta(milliseconds=123)
    assert rfc3339(change.scheduled_at) == "2096-06-01T12:00:00.123Z"


@given(st.datetimes(timezones=st.just(TOKYO)))
def test_instants_survive_being_written_and_read(at: datetime) -> None:
    kept = to_milliseconds(at)

    assert datetime.fromisoformat(rfc3339(at)) == kept
    assert timedelta(0) <= at - kept < timedelta(milliseconds=1)


def test_an_instant_without_a_fraction_is_written_without_one() -> None:
    assert rfc3339(NOON) == "2096-06-01T12:00:00Z"


@pytest.mark.parametrize("key", ["", "-x", "a b", "a/b", "ä", "x" * 101, "a\n", "a\0"])
def test_a_key_that_no_flag_can_have_names_no_flag(key: str) -> None:
    with pytest.raises(FlagMissing):
        FlagName.asked("production", key)


def test_equal_instants_of_a_batch_are_told_with_their_positions() -> None:
    in_tokyo = after(1).astimezone(TOKYO) + timedelta(microseconds=400)

    with pytest.raises(DuplicateInstants) as caught:
        refuse_duplicates(items_of_batch(NAME, [a_change(after(1)), a_change(after(2)), a_change(in_tokyo)]))

    assert caught.value.details == {"schedules": {2: {"scheduledAt": ["is the same instant as in schedules[0]"]}}}


def test_equal_instants_of_different_flags_are_no_duplicates() -> None:
    names = [NAME, FlagName("staging", NAME.key), FlagName("production", "other")]

    refuse_duplicates(PlanItem(name, a_change(after(1)), ("changes", n)) for n, name in enumerate(names))


def test_every_change_that_is_not_in_the_future_or_too_far_in_it_is_told() -> None:
    limits = ScheduleLimits(horizon=timedelta(days=1))
    changes = [a_change(after(seconds)) for seconds in (-1, 1, 0, 86_400, 86_400.001)]

    with pytest.raises(InstantsRefused) as caught:
        limits.refuse_instants(items_of_batch(NAME, changes), lambda _: NOON, BULK_REFUSED)

    assert caught.value.message == BULK_REFUSED
    assert caught.value.details == {
        "schedules": {
            0: {"scheduledAt": ["must be in the future"]},
            2: {"scheduledAt": ["must be in the future"]},
            4: {"scheduledAt": ["must be at most 1 days ahead"]},
        }
    }


def test_a_quota_may_be_used_up_and_not_more() -> None:
    limits = ScheduleLimits(pending=10)

    limits.refuse_quota(a_flag(), 7, 3)

    with pytest.raises(QuotaExceeded, match="has 7 pending schedules; 4 more would make it over 10"):
        limits.refuse_quota(a_flag(), 7, 4)


def test_a_batch_is_numbered_after_what_the_flag_has() -> None:
    flag = replace(a_flag(), last_seq=7)

    planned = number_schedules(
        flag, [a_change(after(2)), a_change(after(1))], ids=[UUID(int=1), UUID(int=2)], batch_id=None, by="ada", at=NOON
    )

    assert [(s.seq, s.scheduled_at) for s in planned] == [(8, after(2)), (9, after(1))]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (Status.APPLIED, AlreadyApplied),
        (Status.CANCELLED, AlreadyCancelled),
        (Status.FAILED, AlreadyFailed),
    ],
)
def test_an_ended_schedule_says_how_it_ended(status: Status, error: type[Exception]) -> None:
    with pytest.raises(error):
        a_schedule(status=status).refuse_unless_pending()


def test_an_edit_adds_a_version_also_of_the_description_alone() -> None:
    flag = a_flag(state=a_state(enabled=True, percentage=30))

    edited = flag.edited(FlagEdit(description="why"), after(3))

    assert edited.description == "why"
    assert edited.state == a_state(enabled=True, percentage=30, version=2, changed_at=after(3))
