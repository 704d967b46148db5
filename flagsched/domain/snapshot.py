"""A snapshot of an environment. It holds the agendas of its flags, so it changes at their instants by itself."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import compress
from operator import attrgetter, is_not
from typing import Any, Self

from flagsched.domain.agenda import Agenda
from flagsched.domain.effective import effective_flag
from flagsched.domain.evaluation import DIGEST_BYTES, Evaluator
from flagsched.domain.flags import Flag
from flagsched.domain.overrides import with_changes
from flagsched.domain.schedules import PendingSchedule

NEXT_CHANGE_AT = attrgetter("next_change_at")
DIGESTS = 256**DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class FlagSnapshot:
    """A flag as written, its agenda, and its overrides: who is included (True) and excluded (False)."""

    flag: Flag
    agenda: Agenda[PendingSchedule] = field(default_factory=Agenda)
    overrides: Mapping[str, bool] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The flag's."""
        return self.flag.name.key

    def at(self, instant: datetime) -> Evaluator:
        """The flag as it is at an instant."""
        effective = effective_flag(self.flag, self.agenda, instant)
        return Evaluator(effective, with_changes(self.overrides, effective.state.overrides))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An environment's flags by key, in order, as of one revision."""

    environment: str
    revision: int = 0
    flags: dict[str, FlagSnapshot] = field(default_factory=dict)

    def updated(self, changed: Collection[FlagSnapshot], revision: int) -> Self:
        """The snapshot after these flags have changed; archived ones are left out."""
        live = {one.key: one for one in changed if one.flag.archived_at is None}
        flags = self.flags | live
        for one in changed:
            # Another flag may have its key by now.
            if one.flag.archived_at is not None and one.key in flags and flags[one.key].flag.id == one.flag.id:
                del flags[one.key]
        return type(self)(self.environment, revision, flags if live.keys() <= self.flags.keys() else _sorted(flags))


def snapshot_of(environment: str, revision: int, flags: Iterable[FlagSnapshot]) -> Snapshot:
    """All of an environment."""
    return Snapshot(environment).updated(list(flags), revision)


def _sorted(flags: dict[str, FlagSnapshot]) -> dict[str, FlagSnapshot]:
    return {key: flags[key] for key in sorted(flags)}


@dataclass(frozen=True, slots=True)
class EffectiveSnapshot:
    """An environment from an instant on until something changes by itself: an answer from one is of one instant.

    `until` is that change's instant. `digest` follows from what is answered alone: two processes that answer the same
    have the same digest, whatever they have read and however it was written.
    """

    snapshot: Snapshot
    at: datetime
    flags: dict[str, Evaluator]
    until: datetime | None
    digest: int
    memo: dict[Any, Any] = field(default_factory=dict, compare=False)
    """A cache of what follows from this snapshot alone."""

    def is_over(self, now: datetime) -> bool:
        """Has something changed by itself since?"""
        return self.until is not None and self.until <= now

    @property
    def tag(self) -> str:
        """The digest in few letters, for an ETag."""
        return f"{self.digest:x}"


def effective_snapshot(snapshot: Snapshot, at: datetime, before: EffectiveSnapshot | None = None) -> EffectiveSnapshot:
    """What `snapshot` is at `at`; flags that have not changed since `before` are taken from there."""
    if before is None or before.snapshot.flags.keys() != snapshot.flags.keys():
        flags = {key: flag.at(at) for key, flag in snapshot.flags.items()}
        return EffectiveSnapshot(
            snapshot, at, flags, _until(flags), sum(flag.digest for flag in flags.values()) % DIGESTS
        )
    stored, stored_before = snapshot.flags, before.snapshot.flags
    # In one order, since both are by key.
    keys = set(compress(stored, map(is_not, stored.values(), stored_before.values())))
    if before.is_over(at):
        instants = map(NEXT_CHANGE_AT, before.flags.values())
        keys.update(key for key, next_at in zip(before.flags, instants, strict=True) if next_at and next_at <= at)
    changed = {key: stored[key].at(at) for key in keys}
    flags = before.flags | changed
    more = sum(flag.digest - before.flags[key].digest for key, flag in changed.items())
    return EffectiveSnapshot(
        snapshot, at, flags, _until_after(before, changed, flags), (before.digest + more) % DIGESTS
    )


def _until_after(
    before: EffectiveSnapshot, changed: Mapping[str, Evaluator], flags: Mapping[str, Evaluator]
) -> datetime | None:
    if any(before.flags[key].next_change_at == before.until != flag.next_change_at for key, flag in changed.items()):
        return _until(flags)
    # Whichever was to change first has not been changed.
    return min((one for one in (before.until, _until(changed)) if one is not None), default=None)


def _until(flags: Mapping[str, Evaluator]) -> datetime | None:
    # Without a step of Python for each flag: there are many, and every change of one asks.
    return min(filter(None, map(NEXT_CHANGE_AT, flags.values())), default=None)
