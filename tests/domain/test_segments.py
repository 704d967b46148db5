"""Timelines: what they tell of the past was seen, what they foresee comes about, and recording moves nothing."""

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from flagsched.domain.agenda import Agenda
from flagsched.domain.flags import FlagState
from flagsched.domain.history import STATE_CHANGES
from flagsched.domain.holds import takes_effect_at
from flagsched.domain.overrides import OverrideChange, OverrideType
from flagsched.domain.schedules import conflicts
from flagsched.domain.segments import Cause, Segment, segments, transitions
from flagsched.domain.timeline import state_at
from flagsched.domain.updates import UnreadableUpdates, Updates
from tests.builders import NOON, a_change, a_flag, a_schedule, after, an_override_change
from tests.domain.lives import Life, changes, instants, lives


def timeline(life: Life, start: datetime = NOON, end: datetime | None = None) -> list[Segment]:
    return shown(segments(transitions(life.flag, life.past, life.agenda), start, end))


def shown(told: list[Segment]) -> list[Segment]:
    """What is shown of segments: overrides are not."""
    return [replace(one, state=one.state.written) for one in told]


def at(told: list[Segment], instant: datetime) -> Segment:
    (found,) = [one for one in told if one.start <= instant and (one.end is None or instant < one.end)]
    return found


@given(lives())
def test_segments_follow_each_other_from_creation_on_and_none_is_empty(life: Life) -> None:
    told = timeline(life)

    assert told[0].start == NOON
    assert [one.end for one in told] == [*(one.start for one in told[1:]), None]
    assert all(one.end is None or one.start < one.end for one in told)


@given(lives())
def test_what_a_timeline_tells_of_the_past_is_what_readers_saw(life: Life) -> None:
    told = timeline(life)

    assert [at(told, instant).state for instant, _ in life.seen] == [state.written for _, state in life.seen]


@given(lives(), instants)
def test_from_now_on_a_timeline_says_what_the_effective_state_will_be(life: Life, instant: datetime) -> None:
    instant = max(instant, life.now)

    assert at(timeline(life), instant).state == state_at(life.flag, life.agenda, instant).written


@given(lives())
def test_recording_moves_nothing_of_a_timeline(life: Life) -> None:
    before = timeline(life)

    life.record()

    assert timeline(life) == before


@given(lives(), st.integers(min_value=0, max_value=20))
def test_what_a_timeline_foresees_is_what_a_worker_writes(life: Life, seconds: int) -> None:
    foreseen = timeline(life)
    already = len(life.entries)

    life.wait(timedelta(seconds=seconds))
    life.record()

    written = life.entries[already:]
    changes = (entry for entry in written if entry.action in STATE_CHANGES)
    last_at = {entry.effective_at: entry.after for entry in changes if isinstance(entry.after, FlagState)}
    assert [after.written for after in last_at.values()] == [at(foreseen, instant).state for instant in last_at]


@given(lives(), instants, instants)
def test_a_window_is_the_whole_cut_at_its_borders(life: Life, one: datetime, other: datetime) -> None:
    start, end = sorted([one, other])

    inside = [
        (max(s.start, start), end if s.end is None else min(s.end, end), s.state, s.cause) for s in timeline(life)
    ]

    assert [(s.start, s.end, s.state, s.cause) for s in timeline(life, start, end)] == [
        cut for cut in inside if cut[0] < cut[1]
    ]


@given(st.data(), lives(), instants)
def test_a_preview_is_what_comes_about_when_its_drafts_are_planned(
    data: st.DataObject, life: Life, instant: datetime
) -> None:
    considered = data.draw(changes(life.now))
    drafts = Life.plan(copied := _copy(life), considered)
    foreseen = segments(
        transitions(
            life.flag,
            life.past,
            Agenda.of([*life.agenda.schedules, *drafts], holds=life.holds),
            {draft.id: i for i, draft in enumerate(drafts)},
        ),
        life.now,
        None,
    )

    copied.wait(max(instant - life.now, timedelta(0)))
    copied.record()

    assert at(shown(foreseen), copied.now).state == copied.flag.state
    causes = {takes_effect_at(s.scheduled_at, life.holds) for s in drafts}
    assert {one.start for one in foreseen if one.cause.draft is not None} <= causes


def test_each_segment_names_what_began_it() -> None:
    life = Life()
    (first, second) = life.plan([a_change(after(5)), a_change(after(9))])
    life.wait(timedelta(seconds=7))
    life.edit(Updates(rollout_percentage=5))

    assert [one.cause for one in timeline(life)] == [
        Cause(entry_id=1),
        Cause(schedule_id=first.id),
        Cause(entry_id=len(life.entries)),
        Cause(schedule_id=second.id),
    ]


def test_several_changes_at_one_instant_are_one_segment_in_the_last_version() -> None:
    life = Life()
    life.plan([a_change(after(5), rollout_percentage=1)])
    life.plan([a_change(after(5), rollout_percentage=2)])

    first, second = timeline(life)

    assert (first.end, second.start) == (after(5), after(5))
    assert (second.state.rollout_percentage, second.state.version) == (2, 3)


def test_a_flag_whose_history_somebody_lost_is_told_from_its_last_change_on() -> None:
    flag = a_flag()

    assert segments(transitions(flag, [], Agenda()), after(-60), None) == [Segment(NOON, None, flag.state, Cause())]


def test_conflicts_are_pending_schedules_among_the_drafts_that_set_what_they_set() -> None:
    drafts = [a_change(after(10), enabled=True), a_change(after(20), enabled=False)]
    meddling = [
        a_schedule(at=after(second), updates=Updates(enabled=True, rollout_percentage=5)) for second in (10, 15, 20)
    ]
    others = [
        a_schedule(at=after(9), updates=Updates(enabled=True)),
        a_schedule(at=after(21), updates=Updates(enabled=True)),
        a_schedule(at=after(15), updates=Updates(rollout_percentage=5)),
        a_schedule(at=after(15), updates=UnreadableUpdates("updates are not JSON")),
    ]

    assert conflicts(drafts, [*meddling, *others]) == meddling
    assert conflicts([], meddling) == []


def test_overrides_conflict_with_those_of_the_same_user_alone() -> None:
    drafts = [an_override_change(after(10), "ada", "include"), an_override_change(after(20), "bob", "remove")]
    of_them = [a_schedule(at=after(15), updates=OverrideChange(user, OverrideType.EXCLUDE)) for user in ("ada", "bob")]
    others = [
        a_schedule(at=after(15), updates=OverrideChange("carol", OverrideType.EXCLUDE)),
        a_schedule(at=after(15), updates=Updates(enabled=True, rollout_percentage=5)),
    ]

    assert conflicts(drafts, [*of_them, *others]) == of_them


def _copy(life: Life) -> Life:
    copied = Life()
    copied.now, copied.flag = life.now, life.flag
    copied.entries, copied.schedules = list(life.entries), dict(life.schedules)
    copied.holds = list(life.holds)
    return copied
