"""What the database's clock says, as a process knows it between its looks."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from flagsched.snapshots.clock import ClockEstimate
from tests.builders import NOON

ROUNDING = timedelta(microseconds=5)
trips = st.floats(min_value=0.0001, max_value=3)
looks = st.lists(st.tuples(st.floats(min_value=0, max_value=5), trips, trips), min_size=1, max_size=40)
"""How long after the last one each begins, and its ways there and back."""


class World:
    """A monotonic clock, and a database whose clock may be set."""

    def __init__(self) -> None:
        self.monotonic = 1000.0
        self.ahead = NOON.timestamp() - 1000.0
        self.clock = ClockEstimate(lambda: self.monotonic)

    @property
    def database(self) -> datetime:
        return datetime.fromtimestamp(self.monotonic + self.ahead, UTC)

    def look(self, there: float, back: float) -> None:
        """Ask, and hear of what the database's clock said in between."""
        asked_at = self.monotonic
        self.monotonic += there
        reading = self.database
        self.monotonic += back
        self.clock.add(asked_at, reading, self.monotonic)

    @property
    def behind(self) -> timedelta:
        return self.database - self.clock.now()


@given(looks)
def test_it_is_never_ahead_of_the_database_and_behind_by_the_quickest_recent_trip_at_most(
    looks: Sequence[tuple[float, float, float]],
) -> None:
    world = World()

    for n, (wait, there, back) in enumerate(looks, start=1):
        world.monotonic += wait
        world.look(there, back)
        quickest = min(one[2] for one in looks[max(0, n - 10) : n])
        assert -ROUNDING <= world.behind <= timedelta(seconds=quickest) + ROUNDING


@given(looks)
def test_it_does_not_go_backward_from_one_look_to_the_next(looks: Sequence[tuple[float, float, float]]) -> None:
    world = World()
    world.look(0.001, looks[0][2])

    for _, there, back in looks[:9]:
        before = world.clock.now()
        world.look(there, back)
        assert world.clock.now() >= before + timedelta(seconds=there + back) - ROUNDING


def test_one_slow_look_does_not_put_it_behind() -> None:
    world = World()
    world.look(0.001, 0.002)

    world.look(0.001, 2)

    assert world.behind <= timedelta(seconds=0.002) + ROUNDING


@given(st.floats(min_value=0.01, max_value=10**6), looks)
def test_a_clock_that_is_set_back_is_followed_at_the_next_look(
    length: float, looks: Sequence[tuple[float, float, float]]
) -> None:
    world = World()
    for _, there, back in looks:
        world.look(there, back)

    world.ahead -= length
    world.look(0.001, 0.001)

    assert -ROUNDING <= world.behind <= timedelta(seconds=0.001) + ROUNDING


def test_a_clock_that_is_set_back_by_less_than_a_look_takes_is_followed_after_some() -> None:
    world = World()
    world.look(0.001, 0.001)

    world.ahead -= 0.5
    for _ in range(10):
        world.look(1, 1)

    assert -ROUNDING <= world.behind <= timedelta(seconds=1) + ROUNDING


def test_a_clock_that_is_set_forward_is_followed_at_the_next_look() -> None:
    world = World()
    world.look(0.001, 0.001)

    world.ahead += 3600
    world.look(0.001, 2)

    assert world.behind <= timedelta(seconds=2) + ROUNDING


def test_an_instant_passes_when_the_present_comes_to_it() -> None:
    world = World()
    world.look(0.001, 0.25)
    instant = world.database + timedelta(seconds=7)

    world.monotonic = world.clock.reaches(instant)

    assert abs(world.clock.now() - instant) < ROUNDING
    assert world.clock.reaches(None) == float("inf")
