"""Snapshots: whatever way one comes to an instant, what it tells is the same, and named by its tag."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count, pairwise
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from flagsched.domain.agenda import Agenda
from flagsched.domain.evaluation import Evaluator
from flagsched.domain.flags import FlagEdit, FlagName
from flagsched.domain.overrides import OverrideChange, OverrideType
from flagsched.domain.schedules import PendingSchedule, PlannedChange, number_schedules
from flagsched.domain.snapshot import EffectiveSnapshot, FlagSnapshot, Snapshot, effective_snapshot, snapshot_of
from flagsched.domain.timeline import replay
from flagsched.domain.updates import Updates
from tests.builders import NOON, a_new_flag
from tests.domain.lives import changes, lengths, settings

KEYS = ("a", "b", "c")
PEOPLE = (None, "ada", "bob", "carol")
A_MOMENT = timedelta(milliseconds=1)
apart = st.dictionaries(st.sampled_from(["ada", "bob"]), st.booleans())


class Environment:
    """Does to a few flags what the use cases do, in memory, and tells what has changed since it was last asked."""

    def __init__(self) -> None:
        self.now = NOON
        self.revision = 0
        self.flags: dict[str, FlagSnapshot] = {}
        self._changed: dict[UUID, FlagSnapshot] = {}
        self._ids = (UUID(int=n) for n in count(1))

    @property
    def whole(self) -> Snapshot:
        # In no order: that is the snapshot's to keep.
        return snapshot_of("production", self.revision, reversed(self.flags.values()))

    def changed(self) -> list[FlagSnapshot]:
        changed, self._changed = list(self._changed.values()), {}
        return changed

    def write(self, key: str, planned: list[PlannedChange], updates: Updates | None, users: dict[str, bool]) -> None:
        """Create a flag, or edit it, plan for it and set users apart."""
        if key not in self.flags:
            self._keep(FlagSnapshot(a_new_flag(key).born(next(self._ids), self.now)))
        self.record(key)
        stored = self.flags[key]
        flag = stored.flag.edited(FlagEdit(updates), stored.flag.now(self.now)) if updates else stored.flag
        made = number_schedules(
            flag, planned, ids=[next(self._ids) for _ in planned], batch_id=None, by="ada", at=self.now
        )
        if made:
            flag = flag.with_schedules(made[-1].seq, min(schedule.scheduled_at for schedule in made))
        self._keep(FlagSnapshot(flag, Agenda.of([*stored.agenda.schedules, *made]), users))

    def cancel_first(self, key: str) -> None:
        self.record(key)
        self._keep(replace(self.flags[key], agenda=self.flags[key].agenda.after(1)))

    def archive(self, key: str) -> None:
        self.record(key)
        flag = self.flags[key].flag.archived(self.now)
        self._keep(FlagSnapshot(flag))
        del self.flags[key]

    def record(self, key: str) -> None:
        """Write down what is in effect: the one thing that raises no revision."""
        stored = self.flags[key]
        replayed = replay(stored.flag, stored.agenda, self.now)
        overrides = dict(stored.overrides)
        for user_id, step in replayed.overridden.items():
            overrides.pop(user_id, None)
            if kind := step.after.override_of(user_id):
                overrides[user_id] = kind is OverrideType.INCLUDE
        self.flags[key] = FlagSnapshot(replayed.recorded, replayed.ahead, overrides)

    def _keep(self, stored: FlagSnapshot) -> None:
        self.revision += 1
        self.flags[stored.flag.name.key] = self._changed[stored.flag.id] = stored


def act(draw: st.DrawFn, environment: Environment) -> None:
    key = draw(st.sampled_from(KEYS))
    what = draw(st.sampled_from(["write", "write", "cancel", "record", "archive"]))
    if what == "write" or key not in environment.flags:
        environment.write(key, draw(changes(environment.now)), draw(st.none() | settings), draw(apart))
    elif what == "cancel":
        environment.cancel_first(key)
    elif what == "record":
        environment.record(key)
    else:
        environment.archive(key)


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[EffectiveSnapshot, EffectiveSnapshot]]:
    """Moments of a snapshot that was kept up to date, each with the moment made afresh from all that there was."""
    environment = Environment()
    kept = effective_snapshot(Snapshot("production"), NOON)
    told = []
    for _ in range(draw(st.integers(1, 12))):
        environment.now += draw(lengths)
        for _ in range(draw(st.integers(0, 2))):
            act(draw, environment)
        snapshot = kept.snapshot
        if environment.revision > snapshot.revision:
            snapshot = snapshot.updated(environment.changed(), environment.revision)
        kept = effective_snapshot(snapshot, environment.now, kept)
        told.append((kept, effective_snapshot(environment.whole, environment.now)))
    return told


def shown(flag: Evaluator) -> tuple[object, ...]:
    """What applications are told of a flag as it is."""
    state = flag.effective.state
    return (state.enabled, state.rollout_percentage, state.version)


def described(told: EffectiveSnapshot) -> list[Any]:
    return [
        (key, flag.key, shown(flag), flag.next_change_at, [flag.evaluate(who) for who in PEOPLE])
        for key, flag in told.flags.items()
    ]


def later(told: EffectiveSnapshot, at: datetime) -> EffectiveSnapshot:
    return effective_snapshot(told.snapshot, at)


@given(steps())
def test_a_moment_that_was_kept_up_to_date_is_the_same_as_one_made_afresh(
    told: list[tuple[EffectiveSnapshot, EffectiveSnapshot]],
) -> None:
    for kept, afresh in told:
        assert described(kept) == described(afresh)
        assert (kept.at, kept.until, kept.tag) == (afresh.at, afresh.until, afresh.tag)
        assert list(kept.flags) == list(kept.snapshot.flags) == sorted(kept.flags)


@given(steps())
def test_nothing_changes_until_the_instant_that_a_moment_names_and_then_something_does(
    told: list[tuple[EffectiveSnapshot, EffectiveSnapshot]],
) -> None:
    for kept, _ in told:
        last = kept.until or kept.at + timedelta(days=1)
        assert described(later(kept, last - A_MOMENT)) == described(kept)
        assert not kept.is_over(last - A_MOMENT)
        if kept.until is not None:
            assert kept.is_over(kept.until)
            assert described(later(kept, kept.until)) != described(kept)


@given(steps())
def test_moments_tell_the_same_if_and_only_if_their_tags_are_the_same(
    told: list[tuple[EffectiveSnapshot, EffectiveSnapshot]],
) -> None:
    moments = [
        later(one, kept.at + timedelta(seconds=s)) for kept, afresh in told for s in range(10) for one in (kept, afresh)
    ]

    for one, another in [*pairwise(moments), *zip(moments, reversed(moments), strict=True)]:
        assert (described(one) == described(another)) == (one.tag == another.tag)


PLAIN = a_new_flag("a", enabled=True, rollout_percentage=50).born(UUID(int=1), NOON)
PLANNED = PendingSchedule(1, NOON + timedelta(hours=1), Updates(enabled=False))
INCLUDED = PendingSchedule(1, NOON, OverrideChange("ada", OverrideType.INCLUDE))
SHUT = PendingSchedule(2, NOON, OverrideChange("bob", None))
OTHERS = {
    "key": FlagSnapshot(replace(PLAIN, name=FlagName("production", "b"))),
    "enabled": FlagSnapshot(replace(PLAIN, state=replace(PLAIN.state, enabled=False))),
    "percentage": FlagSnapshot(replace(PLAIN, state=replace(PLAIN.state, rollout_percentage=51))),
    "version": FlagSnapshot(replace(PLAIN, state=replace(PLAIN.state, version=2))),
    "next change": FlagSnapshot(PLAIN, Agenda.of([PLANNED])),
    "included": FlagSnapshot(PLAIN, overrides={"ada": True}),
    "excluded": FlagSnapshot(PLAIN, overrides={"ada": False}),
    "another included": FlagSnapshot(PLAIN, overrides={"bob": True}),
    "included by its plan": FlagSnapshot(PLAIN, Agenda.of([INCLUDED])),
    "included by its plan, who was excluded": FlagSnapshot(PLAIN, Agenda.of([INCLUDED, SHUT]), {"bob": False}),
}


def test_all_that_may_be_told_of_a_flag_is_in_the_tag_whoever_wrote_it() -> None:
    tags = {name: effective_snapshot(snapshot_of("production", 1, [flag]), NOON).tag for name, flag in OTHERS.items()}
    tags["as it was"] = effective_snapshot(snapshot_of("production", 1, [FlagSnapshot(PLAIN)]), NOON).tag

    assert len(set(tags.values())) == len(tags), tags


def test_what_is_not_told_is_not_in_the_tag() -> None:
    plain = effective_snapshot(snapshot_of("production", 1, [FlagSnapshot(PLAIN)]), NOON)
    state = replace(PLAIN.state, changed_at=NOON)
    written_anew = FlagSnapshot(replace(PLAIN, id=UUID(int=2), last_seq=9, description="another", state=state))

    other = effective_snapshot(snapshot_of("production", 2, [written_anew]), NOON)

    assert other.tag == plain.tag


def test_an_archived_flag_leaves_and_a_new_one_of_its_key_comes() -> None:
    environment = Environment()
    environment.write("a", [], None, {"ada": False})
    before = environment.whole
    first = environment.flags["a"]
    environment.changed()

    environment.archive("a")
    gone = before.updated(environment.changed(), environment.revision)
    environment.write("a", [], None, {})
    second = environment.flags["a"]
    come = gone.updated(environment.changed(), environment.revision)
    archived = FlagSnapshot(first.flag.archived(NOON))

    assert (gone.flags, come.flags) == ({}, {"a": second})
    assert second.flag.id != first.flag.id
    assert before.updated([archived, second], 9).flags == before.updated([second, archived], 9).flags == {"a": second}
