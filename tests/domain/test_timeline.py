"""The heart: order, absolute settings, folding in steps, and what is passed over."""

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from flagsched.domain.agenda import Agenda
from flagsched.domain.effective import effective_flag, effective_schedules
from flagsched.domain.flags import Flag, FlagState
from flagsched.domain.history import documents_of
from flagsched.domain.overrides import OverrideChange, OverrideType, with_changes
from flagsched.domain.schedules import Schedule, Status
from flagsched.domain.timeline import APPLIED, Failed, Replay, next_change_at, replay, state_at
from flagsched.domain.updates import UnreadableUpdates, Updates
from tests.builders import NOON, a_flag, a_schedule, a_state, after
from tests.domain.lives import override_changes

UNREADABLE = UnreadableUpdates("updates are not a JSON object")

settings = st.builds(
    Updates, enabled=st.none() | st.booleans(), rollout_percentage=st.integers(min_value=0, max_value=100)
) | st.builds(Updates, enabled=st.booleans())
instants = st.integers(min_value=-5, max_value=20).map(after)


@st.composite
def plans(draw: st.DrawFn) -> list[Schedule]:
    """Pending and ended schedules of one flag, readable and not, at few instants so that ties are common."""
    size = draw(st.integers(min_value=0, max_value=12))
    return draw(
        st.permutations(
            [
                a_schedule(
                    at=draw(instants),
                    seq=seq,
                    updates=draw(st.one_of(settings, settings, settings, st.just(UNREADABLE))),
                    status=draw(st.sampled_from([Status.PENDING, Status.PENDING, Status.PENDING, Status.CANCELLED])),
                )
                for seq in range(1, size + 1)
            ]
        )
    )


flags = st.builds(
    lambda enabled, percentage, version: a_flag(state=a_state(enabled=enabled, percentage=percentage, version=version)),
    st.booleans(),
    st.integers(min_value=0, max_value=100),
    st.integers(min_value=1, max_value=9),
)


def expected_state(flag: Flag, plan: list[Schedule], at: datetime) -> FlagState:
    """The state by another way of thinking: the last due schedule that sets a field decides it."""
    due = [
        s
        for s in plan
        if s.status is Status.PENDING and s.scheduled_at <= max(at, NOON) and isinstance(s.updates, Updates)
    ]
    last_first = sorted(due, key=lambda s: (s.scheduled_at, s.seq), reverse=True)
    enabled = [s.updates.enabled for s in last_first if isinstance(s.updates, Updates)]
    percentage = [s.updates.rollout_percentage for s in last_first if isinstance(s.updates, Updates)]
    return FlagState(
        enabled=next((e for e in enabled if e is not None), flag.state.enabled),
        rollout_percentage=next((p for p in percentage if p is not None), flag.state.rollout_percentage),
        version=flag.state.version + len(due),
        changed_at=max([flag.state.changed_at, *(s.scheduled_at for s in due)]),
    )


@given(flags, plans(), instants)
def test_the_last_due_schedule_in_order_that_sets_a_field_decides_it(
    flag: Flag, plan: list[Schedule], at: datetime
) -> None:
    assert state_at(flag, Agenda.of(plan), at) == expected_state(flag, plan, at)


@given(flags, plans(), instants, instants)
def test_folding_in_two_steps_equals_folding_in_one(
    flag: Flag, plan: list[Schedule], one: datetime, other: datetime
) -> None:
    first, second = sorted([one, other])

    halfway = replay(flag, Agenda.of(plan), first)
    folded = {step.schedule.id for step in halfway.steps}
    rest = [schedule for schedule in plan if schedule.id not in folded]

    assert state_at(halfway.recorded, Agenda.of(rest), second) == state_at(flag, Agenda.of(plan), second)


@given(flags, plans(), instants, st.randoms())
def test_the_order_in_which_schedules_are_given_does_not_matter(
    flag: Flag, plan: list[Schedule], at: datetime, random: Random
) -> None:
    shuffled = list(plan)
    random.shuffle(shuffled)

    assert replay(flag, Agenda.of(shuffled), at) == replay(flag, Agenda.of(plan), at)


@given(flags, plans(), instants)
def test_what_is_not_due_changes_nothing(flag: Flag, plan: list[Schedule], at: datetime) -> None:
    due_only = [schedule for schedule in plan if schedule.scheduled_at <= max(at, flag.state.changed_at)]

    assert state_at(flag, Agenda.of(plan), at) == state_at(flag, Agenda.of(due_only), at)


@given(flags, plans(), instants)
def test_an_unreadable_schedule_is_passed_over_and_adds_no_version(
    flag: Flag, plan: list[Schedule], at: datetime
) -> None:
    readable = [schedule for schedule in plan if isinstance(schedule.updates, Updates)]

    assert state_at(flag, Agenda.of(plan), at) == state_at(flag, Agenda.of(readable), at)


@given(flags, plans(), instants)
def test_steps_are_in_order_and_each_begins_where_the_one_before_ended(
    flag: Flag, plan: list[Schedule], at: datetime
) -> None:
    replayed = replay(flag, Agenda.of(plan), at)

    states = [flag.state, *(step.after for step in replayed.steps)]
    assert [step.before for step in replayed.steps] == states[:-1]
    assert [step.schedule for step in replayed.steps] == sorted(
        (step.schedule for step in replayed.steps), key=lambda one: (one.scheduled_at, one.seq)
    )


@given(flags, plans(), instants)
def test_nothing_changes_between_now_and_the_next_change(flag: Flag, plan: list[Schedule], at: datetime) -> None:
    change_at = next_change_at(replay(flag, Agenda.of(plan), at))

    if change_at is None:
        assert state_at(flag, Agenda.of(plan), at + timedelta(days=9)) == state_at(flag, Agenda.of(plan), at)
    else:
        assert state_at(flag, Agenda.of(plan), change_at - timedelta(milliseconds=1)) == state_at(
            flag, Agenda.of(plan), at
        )
        assert state_at(flag, Agenda.of(plan), change_at).version > state_at(flag, Agenda.of(plan), at).version


@given(flags, plans(), instants)
def test_as_many_versions_come_as_schedules_come_into_effect(flag: Flag, plan: list[Schedule], at: datetime) -> None:
    came = sum(one.in_effect for one in effective_schedules(plan, flag, at, Agenda.of(plan)))

    assert state_at(flag, Agenda.of(plan), at).version == flag.state.version + came


stored = st.dictionaries(st.sampled_from(["ada", "bob", "carol"]), st.booleans())


@st.composite
def plans_with_overrides(draw: st.DrawFn) -> list[Schedule]:
    """Some of what a plan has, and overrides of two users among it."""
    plan = [one for one in draw(plans()) if one.pending]
    return [replace(one, updates=draw(override_changes)) if draw(st.booleans()) else one for one in plan]


def kept(written: dict[str, bool], replayed: Replay[Schedule]) -> dict[str, bool]:
    """What is stored of overrides once a replay is recorded."""
    ends = {user_id: step.after.override_of(user_id) for user_id, step in replayed.overridden.items()}
    others = {user_id: included for user_id, included in written.items() if user_id not in ends}
    return others | {user_id: kind is OverrideType.INCLUDE for user_id, kind in ends.items() if kind}


@given(flags, plans_with_overrides(), stored, instants)
def test_the_last_due_schedule_about_a_user_decides_the_users_override(
    flag: Flag, plan: list[Schedule], written: dict[str, bool], at: datetime
) -> None:
    expected = dict(written)
    for schedule in sorted(plan, key=lambda s: (s.scheduled_at, s.seq)):
        if schedule.override and schedule.is_due(max(at, NOON)):
            expected.pop(schedule.override.user_id, None)
            if schedule.override.kind:
                expected[schedule.override.user_id] = schedule.override.kind is OverrideType.INCLUDE

    replayed = replay(flag, Agenda.of(plan), at)

    assert with_changes(written, replayed.state.overrides) == kept(written, replayed) == expected
    assert (replayed.recorded.state.overrides, replayed.recorded.state.version) == ((), replayed.state.version)


@given(flags, plans_with_overrides(), stored, instants, instants)
def test_recording_halfway_moves_no_override(
    flag: Flag, plan: list[Schedule], written: dict[str, bool], one: datetime, other: datetime
) -> None:
    first, second = sorted([one, other])
    halfway = replay(flag, Agenda.of(plan), first)
    rest = replay(halfway.recorded, halfway.ahead, second)

    whole = replay(flag, Agenda.of(plan), second)

    assert with_changes(kept(written, halfway), rest.state.overrides) == with_changes(written, whole.state.overrides)
    assert rest.state.written == whole.state.written


@given(flags, plans_with_overrides(), stored, instants)
def test_a_replay_that_knows_what_is_stored_takes_the_same_steps(
    flag: Flag, plan: list[Schedule], written: dict[str, bool], at: datetime
) -> None:
    replayed = replay(flag, Agenda.of(plan), at)

    knowing = replayed.knowing(
        [
            OverrideChange(user, OverrideType.INCLUDE if included else OverrideType.EXCLUDE)
            for user, included in written.items()
        ]
    )

    assert (knowing.recorded, knowing.ahead, kept(written, knowing)) == (
        replayed.recorded,
        replayed.ahead,
        kept(written, replayed),
    )
    assert [(s.schedule, s.after.written, s.effective_at, s.outcome) for s in knowing.steps] == [
        (s.schedule, s.after.written, s.effective_at, s.outcome) for s in replayed.steps
    ]


def test_a_step_says_what_a_users_override_was_and_is() -> None:
    plan = [
        a_schedule(at=after(1), seq=1, updates=OverrideChange("ada", OverrideType.INCLUDE)),
        a_schedule(at=after(2), seq=2, updates=OverrideChange("ada", None)),
        a_schedule(at=after(3), seq=3, updates=OverrideChange("bob", OverrideType.INCLUDE)),
    ]
    replayed = replay(a_flag(), Agenda.of(plan), after(3))

    told = [documents_of(step) for step in replayed.knowing([OverrideChange("ada", OverrideType.EXCLUDE)]).steps]

    assert [(before["override"], after_["override"]) for before, after_ in told] == [
        ({"userId": "ada", "set": "exclude"}, {"userId": "ada", "set": "include"}),
        ({"userId": "ada", "set": "include"}, {"userId": "ada", "set": "remove"}),
        ({"userId": "bob", "set": "remove"}, {"userId": "bob", "set": "include"}),
    ]
    assert [after_["rolloutPercentage"] for _, after_ in told] == [100] * 3
    assert [step.after.version for step in replayed.steps] == [2, 3, 4]


def test_on_a_tie_the_later_created_wins() -> None:
    flag = a_flag()
    earlier = a_schedule(at=after(5), seq=1, updates=Updates(rollout_percentage=10))
    later = a_schedule(at=after(5), seq=2, updates=Updates(rollout_percentage=20))

    assert state_at(flag, Agenda.of([later, earlier]), after(5)).rollout_percentage == 20


def test_a_schedule_is_in_effect_from_its_very_instant() -> None:
    flag, plan = a_flag(), [a_schedule(at=after(5))]

    assert not state_at(flag, Agenda.of(plan), after(4.999)).enabled
    assert state_at(flag, Agenda.of(plan), after(5)).enabled


def test_a_clock_set_back_does_not_undo_what_was_written() -> None:
    flag = a_flag(state=a_state(enabled=True, changed_at=after(100)))
    between = a_schedule(at=after(50), updates=Updates(enabled=False))

    assert state_at(flag, Agenda.of([between]), after(10)) == state_at(flag, Agenda.of([between]), after(100))


def test_equal_values_add_a_version_too() -> None:
    flag = a_flag(state=a_state(enabled=True))

    assert state_at(flag, Agenda.of([a_schedule(at=after(1), updates=Updates(enabled=True))]), after(1)).version == 2


def test_a_step_says_what_became_of_its_schedule() -> None:
    flag = a_flag()
    good, bad = a_schedule(at=after(1), seq=1), a_schedule(at=after(1), seq=2, updates=UNREADABLE)

    applied, failed = replay(flag, Agenda.of([good, bad]), after(1)).steps

    turned_on = {"enabled": True, "rolloutPercentage": 100}
    assert (applied.schedule, applied.after.version, applied.outcome) == (good, 2, APPLIED)
    assert (documents_of(applied), applied.effective_at) == ((turned_on | {"enabled": False}, turned_on), after(1))
    assert (failed.schedule, failed.after.version, failed.outcome) == (bad, 2, Failed("updates are not a JSON object"))
    assert documents_of(failed) == (turned_on, turned_on | {"errorMessage": "updates are not a JSON object"})


@given(flags, plans(), instants)
def test_what_is_due_next_is_the_first_that_has_not_ended_whatever_its_outcome(
    flag: Flag, plan: list[Schedule], at: datetime
) -> None:
    recorded = replay(flag, Agenda.of(plan), at).recorded

    ahead = [one.scheduled_at for one in plan if one.pending and one.scheduled_at > max(at, NOON)]
    assert recorded.next_due_at == min(ahead, default=None)


@given(flags, plans(), instants, instants)
def test_an_agenda_that_was_read_up_to_an_instant_gives_the_same_until_then(
    flag: Flag, plan: list[Schedule], at: datetime, until: datetime
) -> None:
    until = max(at, until, NOON)
    later = [one.scheduled_at for one in plan if one.pending and one.scheduled_at > until]
    read = Agenda.of([one for one in plan if one.scheduled_at <= until], min(later, default=None))

    assert replay(flag, read, at).recorded == replay(flag, Agenda.of(plan), at).recorded


def test_a_reader_is_told_whether_all_in_effect_is_written_down() -> None:
    flag, plan = a_flag(), [a_schedule(at=after(5)), a_schedule(at=after(9), seq=2)]

    before, due = effective_flag(flag, Agenda.of(plan), after(4)), effective_flag(flag, Agenda.of(plan), after(5))

    assert (before.materialized, before.next_change_at) == (True, after(5))
    assert (due.materialized, due.next_change_at) == (False, after(9))
