"""What a person sees of a plan: a table, as wide as the terminal at most."""

from typing import Any

import pytest

from flagsched.client.plans import AppliedPlan
from flagsched.client.tables import summary_of, table_of


def a_schedule(at: str = "2033-12-01T08:00:00Z", **fields: Any) -> dict[str, Any]:
    default = {
        "scheduledAt": at,
        "localTime": None,
        "timeZone": None,
        "environment": "production",
        "flagKey": "new-checkout",
        "status": "pending",
        "inEffect": False,
        "updates": {"enabled": True, "rolloutPercentage": 5},
    }
    return default | fields


def in_berlin(at: str, local: str, **fields: Any) -> dict[str, Any]:
    return a_schedule(at, localTime=local, timeZone="Europe/Berlin", **fields)


def applied(name: str = "launch", **lists: Any) -> AppliedPlan:
    empty = {"created": False, "changed": True, "added": [], "cancelled": [], "kept": []}
    return AppliedPlan.of(name, empty | lists)


def lines(plan: AppliedPlan, width: int | None = None) -> list[str]:
    return [line.text for line in table_of(plan.changes, width)]


def test_a_table_says_on_what_condition_and_what_was_skipped() -> None:
    everything = {"enabled": True, "rolloutPercentage": {"atLeast": 5, "atMost": 20}, "unedited": True}
    plan = applied(
        added=[
            a_schedule(onlyIf=everything),
            a_schedule("2033-12-02T08:00:00Z", override={"userId": "ada", "set": "include"}, onlyIf={"enabled": False}),
        ],
        kept=[a_schedule("2033-12-03T08:00:00Z", status="skipped", onlyIf={"rolloutPercentage": {"atMost": 9}})],
    )

    assert lines(plan) == [
        "    UTC               environment  flag          change",
        " +  2033-12-01 08:00  production   new-checkout  on, 5 % only if on, at least 5 %, at most 20 %, unedited",
        " +  2033-12-02 08:00  production   new-checkout  include ada only if off",
        " ~  2033-12-03 08:00  production   new-checkout  on, 5 % only if at most 9 %",
        "",
        "+ add   ~ skipped",
    ]


def test_a_table_says_what_becomes_of_each_change() -> None:
    plan = applied(
        added=[a_schedule("2033-12-03T08:00:00Z", updates={"rolloutPercentage": 60})],
        cancelled=[a_schedule("2033-12-03T08:00:00Z", updates={"rolloutPercentage": 50})],
        kept=[
            a_schedule(inEffect=True, status="applied"),
            a_schedule("2033-12-09T08:00:00Z", updates={"enabled": False}, environment="dev"),
            a_schedule("2033-12-02T08:00:00Z", status="failed"),
        ],
    )

    assert lines(plan) == [
        "    UTC               environment  flag          change",
        " .  2033-12-01 08:00  production   new-checkout  on, 5 %",
        " !  2033-12-02 08:00  production   new-checkout  on, 5 %",
        " -  2033-12-03 08:00  production   new-checkout  50 %",
        " +  2033-12-03 08:00  production   new-checkout  60 %",
        " =  2033-12-09 08:00  dev          new-checkout  off",
        "",
        "+ add   - cancel   = keep   . in effect   ! failed",
    ]


def test_one_zone_stands_in_the_header() -> None:
    plan = applied(added=[in_berlin("2033-12-01T08:00:00Z", "2033-12-01T09:00:00")])

    assert lines(plan)[:2] == [
        "    UTC               Europe/Berlin     environment  flag          change",
        " +  2033-12-01 08:00  2033-12-01 09:00  production   new-checkout  on, 5 %",
    ]


def test_several_zones_stand_beside_their_times_and_seconds_where_there_are_any() -> None:
    tokyo = a_schedule("2033-12-02T00:00:01Z", localTime="2033-12-02T09:00:01", timeZone="Asia/Tokyo")
    plan = applied(
        added=[in_berlin("2033-12-01T08:00:00Z", "2033-12-01T09:00:00"), tokyo, a_schedule("2033-12-05T08:00:00Z")]
    )

    assert lines(plan)[:4] == [
        "    UTC                  local time                         environment  flag          change",
        " +  2033-12-01 08:00:00  2033-12-01 09:00:00 Europe/Berlin  production   new-checkout  on, 5 %",
        " +  2033-12-02 00:00:01  2033-12-02 09:00:01 Asia/Tokyo     production   new-checkout  on, 5 %",
        " +  2033-12-05 08:00:00                                     production   new-checkout  on, 5 %",
    ]


def test_a_table_that_is_too_wide_has_two_lines_for_each_change() -> None:
    plan = applied(
        added=[
            in_berlin("2033-12-01T08:00:00Z", "2033-12-01T09:00:00", flagKey="the-new-way-to-check-out-in-one-click")
        ],
        cancelled=[a_schedule("2033-12-05T08:00:00Z", updates={"enabled": False})],
    )

    assert lines(plan, 80) == [
        " +  2033-12-01 08:00 UTC, 2033-12-01 09:00 Europe/Berlin",
        "      the-new-way-to-check-out-in-one-click in production: on, 5 %",
        " -  2033-12-05 08:00 UTC",
        "      new-checkout in production: off",
        "",
        "+ add   - cancel",
    ]


@pytest.mark.parametrize("width", [1, 20, 40, 60])
def test_no_line_is_longer_than_the_terminal_if_no_word_is(width: int) -> None:
    plan = applied(added=[in_berlin("2033-12-01T08:00:00Z", "2033-12-01T09:00:00")])

    changes = [text for text in lines(plan, width) if "add" not in text]

    assert max(map(len, changes)) <= max(width, 20)
    assert " ".join(" ".join(changes).split()) == (
        "+ 2033-12-01 08:00 UTC, 2033-12-01 09:00 Europe/Berlin new-checkout in production: on, 5 %"
    )


def test_an_override_names_its_user_and_moves_no_cursor() -> None:
    override = {"userId": "ada\x1b[2J", "set": "include"}
    plan = applied(added=[a_schedule(updates=None, override=override)])

    assert lines(plan)[1].endswith("include ada\\x1b[2J")


def test_a_plan_without_changes_has_no_table() -> None:
    assert lines(applied()) == []


AT_ONCE = a_schedule(inEffect=True, status="applied")


@pytest.mark.parametrize(
    ("plan", "before", "after"),
    [
        (
            applied(created=True, added=[a_schedule(), a_schedule()]),
            "plan 'launch' is new: 2 to add",
            "plan 'launch': 2 added",
        ),
        (
            applied(added=[a_schedule()], cancelled=[a_schedule()], kept=[a_schedule()]),
            "plan 'launch': 1 to add, 1 to cancel",
            "plan 'launch': 1 added, 1 cancelled",
        ),
        (
            applied(created=True, added=[AT_ONCE, a_schedule("2033-12-02T08:00:00Z")]),
            "plan 'launch' is new: 2 to add, 1 of them in effect at once",
            "plan 'launch': 2 added, 1 of them in effect at once",
        ),
        (
            applied(kept=[AT_ONCE]),
            "plan 'launch': its title or description differs",
            "plan 'launch': its title or description has changed",
        ),
        (
            applied(changed=False, kept=[AT_ONCE]),
            "plan 'launch': nothing to do, the server has it as the file says",
            "plan 'launch': nothing to do, the server has it as the file says",
        ),
    ],
    ids=["new", "changed", "at once", "texts", "same"],
)
def test_a_sentence_sums_it_up(plan: AppliedPlan, before: str, after: str) -> None:
    assert (summary_of(plan), summary_of(plan, done=True)) == (before, after)


def test_a_plan_that_starts_when_it_is_created_does_the_same_a_moment_later() -> None:
    asked = applied(added=[a_schedule("2033-12-01T08:00:00Z")])

    assert asked.does_the_same_as(applied(added=[a_schedule("2033-12-01T08:00:07Z")]))
    assert not asked.does_the_same_as(applied(added=[], kept=[a_schedule()]))
