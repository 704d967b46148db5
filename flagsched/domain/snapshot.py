"""A snapshot: all that is planned in an environment. It holds the future, and so changes at its instants by itself."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import compress
from operator import is_not
from typing import Any, Self
from uuid import UUID

from flagsched.domain.evaluation import DIGEST_BYTES, Evaluator
from flagsched.domain.flags import Flag
from flagsched.domain.schedules import Planned
from flagsched.domain.timeline import effective_flag

DIGESTS = 256**DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class FlagPlan:
    """A flag as written, what is planned for it, and for whom it is set apart."""

    flag: Flag
    pending: Sequence[Planned] = ()
    overrides: Mapping[str, bool] = field(default_factory=dict)

    def at(self, instant: datetime) -> Evaluator:
        """The flag as it is at an instant."""
        return Evaluator(effective_flag(self.flag, self.pending, instant), self.overrides)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The plans of an environment's flags by key, in order, as of one revision."""

    environment: str
    revision: int = 0
    plans: dict[str, FlagPlan] = field(default_factory=dict)

    def updated(self, changed: Collection[FlagPlan], revision: int) -> Self:
        """The snapshot after these flags have changed; archived ones are left out."""
        live = {plan.flag.name.key: plan for plan in changed if plan.flag.archived_at is None}
        plans = self.plans | live
        for plan in changed:
            # Another flag may have its key by now.
            if plan.flag.archived_at is not None and _has(plans, plan.flag):
                del plans[plan.flag.name.key]
        return type(self)(self.environment, revision, plans if live.keys() <= self.plans.keys() else _sorted(plans))


def snapshot_of(environment: str, revision: int, plans: Iterable[FlagPlan]) -> Snapshot:
    """All of an environment."""
    return Snapshot(environment).updated(list(plans), revision)


def _has(plans: Mapping[str, FlagPlan], flag: Flag) -> bool:
    known = plans.get(flag.name.key)
    return known is not None and known.flag.id == flag.id


def _sorted(plans: dict[str, FlagPlan]) -> dict[str, FlagPlan]:
    return {key: plans[key] for key in sorted(plans)}


@dataclass(frozen=True, slots=True)
class Moment:
    """An environment from an instant on until something changes by itself: an answer from one is of one instant.

    `until` is that change's instant; `digest` names all that is told: it follows from that alone, so two processes that
    tell the same have the same, whatever they have read, and whoever wrote it.
    """

    snapshot: Snapshot
    at: datetime
    flags: dict[str, Evaluator]
    until: datetime | None
    digest: int
    memo: dict[Any, Any] = field(default_factory=dict, compare=False)
    """For whoever answers: what follows from this moment alone, and may be kept with it."""

    def is_over(self, now: datetime) -> bool:
        """Has something changed by itself since?"""
        return self.until is not None and self.until <= now

    @property
    def tag(self) -> str:
        """What is told, in few letters."""
        return f"{self.digest:x}"


def moment(snapshot: Snapshot, at: datetime, before: Moment | None = None) -> Moment:
    """What `snapshot` is at `at`; what has not changed since the moment `before` is taken from there."""
    if before is None or before.snapshot.plans.keys() != snapshot.plans.keys():
        flags = {key: plan.at(at) for key, plan in snapshot.plans.items()}
        return Moment(snapshot, at, flags, _until(flags), sum(flag.digest for flag in flags.values()) % DIGESTS)
    plans, known = snapshot.plans, before.snapshot.plans
    # In one order, since both are by key.
    keys = set(compress(plans, map(is_not, plans.values(), known.values())))
    if before.is_over(at):
        keys.update(key for key, flag in before.flags.items() if not _lasts(flag, at))
    changed = {key: plans[key].at(at) for key in keys}
    flags = before.flags | changed
    more = sum(flag.digest - before.flags[key].digest for key, flag in changed.items())
    return Moment(snapshot, at, flags, _until_after(before, changed, flags), (before.digest + more) % DIGESTS)


def _until_after(before: Moment, changed: Mapping[str, Evaluator], flags: Mapping[str, Evaluator]) -> datetime | None:
    if any(before.flags[key].next_change_at == before.until for key in changed):
        return _until(flags)
    # Whichever was to change first has not been changed.
    return min((one for one in (before.until, _until(changed)) if one is not None), default=None)


def _until(flags: Mapping[str, Evaluator]) -> datetime | None:
    ahead = (flag.next_change_at for flag in flags.values() if flag.next_change_at is not None)
    return min(ahead, default=None)


def _lasts(flag: Evaluator, at: datetime) -> bool:
    return flag.next_change_at is None or flag.next_change_at > at


def plans_of(
    flags: Iterable[Flag], pending: Mapping[UUID, Sequence[Planned]], overrides: Mapping[UUID, Mapping[str, bool]]
) -> list[FlagPlan]:
    """Flags with what belongs to them."""
    return [FlagPlan(flag, pending.get(flag.id, ()), overrides.get(flag.id, {})) for flag in flags]
