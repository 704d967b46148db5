"""What an admin does with the users of a flag who are set apart. The flag keeps its version."""

from flagsched.domain.errors import OverrideMissing, TooManyOverrides
from flagsched.domain.flags import FlagName
from flagsched.domain.history import Actor, override_entry
from flagsched.domain.overrides import MAX_OVERRIDES, NewOverride, Override, refuse_unnameable
from flagsched.ports.overrides import OverrideQuery
from flagsched.ports.pages import Page
from flagsched.ports.store import Store
from flagsched.usecases.flags import find_flag
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
) -> Override:
    """Set a user of a flag apart, or differently than before; FlagMissing, FlagBusy, TooManyOverrides."""
    with store.writing() as work:
        take_key(work, idempotent)
        (flag,), clock = lock_current(work, [name])
        before = work.overrides.find(flag, asked.user_id)
        if before is None and work.overrides.count(flag) >= MAX_OVERRIDES:
            raise TooManyOverrides(name.key, MAX_OVERRIDES)
        after = asked.made(flag.id, by.name, flag.now(clock))
        work.overrides.put(after)
        work.history.append([override_entry(flag, before, after, by=by, recorded_at=clock)])
        keep_response(work, idempotent, after, clock)
        work.flags.change([flag], work.publish({name.environment: None}))
        work.commit()
    return after


@retry_when_overtaken
def remove_override(name: FlagName, user_id: str, *, by: Actor, store: Store) -> None:
    """Treat a user of a flag like all others again; FlagMissing, FlagBusy, OverrideMissing."""
    refuse_unnameable(user_id, name.key)
    with store.writing() as work:
        (flag,), clock = lock_current(work, [name])
        before = work.overrides.find(flag, user_id)
        if before is None:
            raise OverrideMissing(user_id, name.key)
        work.overrides.remove(before)
        work.history.append([override_entry(flag, before, None, by=by, recorded_at=clock)])
        work.flags.change([flag], work.publish({name.environment: None}))
        work.commit()


def list_overrides(name: FlagName, query: OverrideQuery, *, store: Store) -> Page[Override]:
    """The overrides of a flag by user; FlagMissing."""
    with store.reading() as work:
        return work.overrides.page(find_flag(work, name), query)


def read_override(name: FlagName, user_id: str, *, store: Store) -> Override:
    """That of one user; FlagMissing, OverrideMissing."""
    refuse_unnameable(user_id, name.key)
    with store.reading() as work:
        found = work.overrides.find(find_flag(work, name), user_id)
    if found is None:
        raise OverrideMissing(user_id, name.key)
    return found
