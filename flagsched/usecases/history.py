"""What happened, as an admin asks for it."""

from dataclasses import replace

from flagsched.domain.errors import EntryMissing
from flagsched.domain.flags import FlagName
from flagsched.domain.history import StoredEntry
from flagsched.ports.history import HistoryQuery
from flagsched.ports.pages import Page
from flagsched.ports.store import Store
from flagsched.usecases.flags import find_flag


def list_history(query: HistoryQuery, *, store: Store) -> Page[StoredEntry]:
    """The entries of an environment, newest first, archived flags' too."""
    with store.reading() as work:
        return work.history.page(query)


def list_flag_history(name: FlagName, query: HistoryQuery, *, store: Store) -> Page[StoredEntry]:
    """The entries of one flag, newest first; FlagMissing."""
    with store.reading() as work:
        return work.history.page(replace(query, flag_id=find_flag(work, name).id))


def read_entry(name: FlagName, entry_id: int, *, store: Store) -> StoredEntry:
    """One entry of a flag, archived or not; EntryMissing."""
    with store.reading() as work:
        entry = work.history.find(entry_id)
    if entry is None or entry.name != name:
        raise EntryMissing(entry_id, name.key)
    return entry
