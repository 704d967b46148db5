"""What an admin does with the users of a flag who are set apart. The flag keeps its version."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from operator import attrgetter

from flagsched.domain.errors import OverrideMissing, TooManyOverrides
from flagsched.domain.flags import Flag, FlagName
from flagsched.domain.history import Actor, override_entry
from flagsched.domain.overrides import MAX_OVERRIDES, NewOverride, Override, OverrideChange, refuse_unnameable
from flagsched.domain.schedules import PendingSchedule, PlannedChange, Schedule, set_apart
from flagsched.domain.timeline import replay
from flagsched.ports.overrides import OverrideQuery, OverrideReader
from flagsched.ports.pages import Page
from flagsched.ports.store import Reading, Store
from flagsched.usecases.flags import find_flag
from flagsched.usecases.freezes import refuse_frozen
from flagsched.usecases.idempotency import IdempotentRequest, keep_response, take_key
from flagsched.usecases.locks import lock_current, retry_when_overtaken


@retry_when_overtaken
def set_override(
    name: FlagName,
    asked: NewOverride,
    *,
    by: Actor,
    store: Store,
    idempotent: IdempotentRequest[Override] | None = None,
    override: str | None = None,
) -> Override:
    """Set a user of a flag apart, or differently than before. `override` is why, where a hold refuses edits.

    Raises FlagMissing, FlagBusy, TooManyOverrides, Frozen.
    """
    with store.writing() as work:
        take_key(work, idempotent)
        (flag,), clock = lock_current(work, [name])
        exemption = refuse_frozen(work, flag, clock, override)
        before = work.overrides.find(flag, asked.user_id)
        if before is None:
            planned = work.schedules.agendas([flag])[flag.id].schedules
            refuse_more_overrides(work.overrides, flag, {asked.user_id} | set_apart(planned))
        after = asked.made(flag.id, by.name, flag.now(clock))
        work.overrides.put(after)
        work.history.append([override_entry(flag, before, after, by=by, recorded_at=clock, exemption=exemption)])
        keep_response(work, idempotent, after, clock)
        work.flags.change([flag], work.publish({name.environment: None}))
        work.commit()
    return after


@retry_when_overtaken
def remove_override(name: FlagName, user_id: str, *, by: Actor, store: Store, override: str | None = None) -> None:
    """Treat a user of a flag like all others again. `override` is why, where a hold refuses edits.

    Raises FlagMissing, FlagBusy, OverrideMissing, Frozen.
    """
    refuse_unnameable(user_id, name.key)
    with store.writing() as work:
        (flag,), clock = lock_current(work, [name])
        exemption = refuse_frozen(work, flag, clock, override)
        before = work.overrides.find(flag, user_id)
        if before is None:
            raise OverrideMissing(user_id, name.key)
        work.overrides.remove(before)
        work.history.append([override_entry(flag, before, None, by=by, recorded_at=clock, exemption=exemption)])
        work.flags.change([flag], work.publish({name.environment: None}))
        work.commit()


def list_overrides(name: FlagName, query: OverrideQuery, *, store: Store) -> Page[Override]:
    """The overrides of a flag by user, as they are now; FlagMissing."""
    with store.reading() as work:
        flag = find_flag(work, name)
        changed = _not_recorded(work, flag)
        # As many more as may be missing from it now.
        stored = work.overrides.page(flag, replace(query, limit=query.limit + len(changed)))
        return _changed_page(stored, changed, query) if changed else stored


def read_override(name: FlagName, user_id: str, *, store: Store) -> Override:
    """That of one user, as it is now; FlagMissing, OverrideMissing."""
    refuse_unnameable(user_id, name.key)
    with store.reading() as work:
        flag = find_flag(work, name)
        changed = _not_recorded(work, flag)
        found = changed[user_id] if user_id in changed else work.overrides.find(flag, user_id)
    if found is None:
        raise OverrideMissing(user_id, name.key)
    return found


def refuse_more_overrides(overrides: OverrideReader, flag: Flag, users: Collection[str]) -> None:
    """Raise TooManyOverrides if a flag would have too many with those of all these users, who may have one already."""
    if users and overrides.count(flag, besides=users) + len(users) > MAX_OVERRIDES:
        raise TooManyOverrides(flag.name.key, MAX_OVERRIDES)


def refuse_planned_overrides(
    overrides: OverrideReader,
    flag: Flag,
    asked: Iterable[PlannedChange | Schedule],
    agenda: Iterable[PendingSchedule],
) -> None:
    """Raise TooManyOverrides if these set too many users of a flag apart, with those whom its agenda sets apart."""
    if users := set_apart(asked):
        refuse_more_overrides(overrides, flag, users | set_apart(agenda))


def _not_recorded(work: Reading, flag: Flag) -> Mapping[str, Override | None]:
    """What is in effect and not recorded of a flag's overrides, by user; None where one is removed."""
    if not flag.is_due(work.at):
        return {}
    steps = replay(flag, work.schedules.pending(flag), work.at).overridden.items()
    changes = {user_id: (step, OverrideChange(user_id, step.after.override_of(user_id))) for user_id, step in steps}
    return {
        user_id: change.made(flag.id, step.schedule.created_by, step.effective_at)
        for user_id, (step, change) in changes.items()
    }


def _changed_page(
    stored: Page[Override], changed: Mapping[str, Override | None], query: OverrideQuery
) -> Page[Override]:
    left = [one for one in stored.items if one.user_id not in changed]
    added = [one for one in changed.values() if one and (query.after is None or one.user_id > query.after)]
    items = sorted([*left, *added], key=attrgetter("user_id"))
    return Page(items[: query.limit], more=stored.more or len(items) > query.limit)
