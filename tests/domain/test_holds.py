"""What a hold does with what lies in it, and with its order."""

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from flagsched.domain.holds import AtEnd, Hold, HoldStatus, delay_of, takes_effect_at
from tests.builders import a_hold, after

instants = st.integers(min_value=0, max_value=20).map(after)
lengths = st.integers(min_value=1, max_value=8)
holds = st.lists(
    st.builds(
        lambda start, length, at_end: a_hold(after(start), None if length is None else after(start + length), at_end),
        st.integers(0, 20),
        st.none() | lengths,
        st.sampled_from(AtEnd),
    ),
    max_size=5,
)


@given(instants, holds)
def test_nothing_takes_effect_before_its_instant_or_inside_a_hold(at: datetime, some: list[Hold]) -> None:
    effect = takes_effect_at(at, some)

    assert effect is None or (effect >= at and not any(hold.covers(effect) for hold in some))


@given(instants, holds)
def test_what_takes_effect_late_was_held_all_the_time(at: datetime, some: list[Hold]) -> None:
    until = takes_effect_at(at, some) or after(60)

    seconds = range(61)
    assert all(any(hold.covers(one) for hold in some) for one in map(after, seconds) if at <= one < until)


@given(instants, instants, holds)
def test_what_is_scheduled_later_never_takes_effect_earlier(one: datetime, other: datetime, some: list[Hold]) -> None:
    first, second = (takes_effect_at(at, some) or after(1000) for at in sorted([one, other]))

    assert first <= second


@given(instants, st.permutations([a_hold(after(2), after(6)), a_hold(after(5), after(9)), a_hold(after(9), after(11))]))
def test_the_order_in_which_holds_are_given_does_not_matter(at: datetime, some: list[Hold]) -> None:
    assert takes_effect_at(at, some) == (after(11) if after(2) <= at < after(11) else at)


@given(instants, holds)
def test_what_is_skipped_lay_in_a_hold_that_skips(at: datetime, some: list[Hold]) -> None:
    delay = delay_of(at, some)

    assert (delay is None) == (not any(hold.covers(at) for hold in some))
    if delay and delay.skipped_by:
        assert delay.skipped_by.at_end is AtEnd.SKIP
    elif any(hold.covers(at) and hold.at_end is AtEnd.SKIP for hold in some):
        raise AssertionError("a hold that skips covers it")


def test_a_hold_begins_at_its_very_instant_and_ends_before_its_end() -> None:
    hold = a_hold(after(5), after(9))

    statuses = [hold.status_at(after(at)) for at in (4.999, 5, 8.999, 9)]

    assert statuses == [HoldStatus.UPCOMING, HoldStatus.ACTIVE, HoldStatus.ACTIVE, HoldStatus.OVER]
    assert [hold.covers(after(at)) for at in (4.999, 5, 8.999, 9)] == [False, True, True, False]
