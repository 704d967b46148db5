"""What the processes of one host announce to each other, so that no client reads an older version after a newer one.

Each process reads the database at its own time. If one of them published a change at once, the next request, which
another process answers, would go back. So a process that reads a change first announces it, with an instant slightly
ahead from which all processes publish it; and no process answers for longer than a lease without reading the latest
announcement. Two processes compare instants by the host's monotonic clock, which all of them share.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

LEASE_SECONDS = 0.01
"""How long a process answers without reading the latest announcement. A change is published as much later."""
NEVER = float("-inf")


class DatabaseRead(NamedTuple):
    """One read of the database: when it began, when it surely had its snapshot, and what it found.

    `total` is the sum of the revisions of all environments: it grows with each change.
    """

    total: int
    began_at: float
    seen_at: float


class Change(NamedTuple):
    """A change that some process has read: every read that begins after `read_at` finds it too."""

    total: int
    read_at: float

    def is_in(self, read: DatabaseRead) -> bool:
        """Did this read find it?"""
        return read.total == self.total or read.began_at > self.read_at


@dataclass(frozen=True, slots=True)
class Announcement:
    """The latest change, the instant from which every process publishes it, and the change before it."""

    change: Change
    effective_at: float
    before: Change

    def ends_at(self, read: DatabaseRead) -> float:
        """Until when a process that lacks the change may answer from this read."""
        return self.effective_at if self.before.is_in(read) else NEVER


UNREAD = DatabaseRead(-1, NEVER, NEVER)
NO_CHANGE = Change(-1, NEVER)


class Latest(NamedTuple):
    """The latest announcement, None if there is none or it can't be read, as of an instant."""

    announcement: Announcement | None
    read_at: float


class Announcements(Protocol):
    """The announcements on this host for one database. No method raises; without them, each process is alone."""

    def latest(self) -> Latest:
        """The latest one."""

    def announce(self, read: DatabaseRead) -> Announcement | None:
        """Announce a read if it has a new change; return the latest announcement then."""

    def close(self) -> None:
        """Close the storage that they are kept in."""


def after_read(latest: Announcement | None, read: DatabaseRead, now: float) -> Announcement:
    """The latest announcement once a process has come with this read."""
    if latest is None:
        return Announcement(Change(read.total, read.seen_at), now + LEASE_SECONDS, NO_CHANGE)
    known = latest.change
    is_later = read.began_at > known.read_at or read.total > known.total
    if read.total == known.total or not is_later:
        return latest
    change = Change(read.total, max(read.seen_at, known.read_at))
    if now < latest.effective_at:
        # Every lease in force ends by then, so this change can be published with the one that is pending.
        return Announcement(change, latest.effective_at, latest.before)
    return Announcement(change, now + LEASE_SECONDS, known)
