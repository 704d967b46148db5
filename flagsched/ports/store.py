"""Transactions."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from flagsched.ports.doctor import DoctorReader
from flagsched.ports.flags import FlagReader, FlagWriter
from flagsched.ports.history import HistoryReader, HistoryWriter
from flagsched.ports.holds import HoldReader, HoldWriter
from flagsched.ports.idempotency import IdempotencyKeys
from flagsched.ports.overrides import OverrideReader, OverrideWriter
from flagsched.ports.plans import PlanReader, PlanWriter
from flagsched.ports.schedules import ScheduleReader, ScheduleWriter
from flagsched.ports.snapshots import SnapshotReader


class Reading(Protocol):
    """One transaction that sees one instant of the database and writes nothing."""

    @property
    def flags(self) -> FlagReader: ...

    @property
    def schedules(self) -> ScheduleReader: ...

    @property
    def overrides(self) -> OverrideReader: ...

    @property
    def plans(self) -> PlanReader: ...

    @property
    def holds(self) -> HoldReader: ...

    @property
    def history(self) -> HistoryReader: ...

    @property
    def doctor(self) -> DoctorReader: ...

    @property
    def snapshots(self) -> SnapshotReader: ...

    @property
    def at(self) -> datetime:
        """The instant of this transaction, fixed before its snapshot."""

    def now(self) -> datetime:
        """The clock as it is now, as exactly as it tells."""


class Writing(Protocol):
    """One transaction that may write; what is not committed is rolled back."""

    @property
    def flags(self) -> FlagWriter: ...

    @property
    def schedules(self) -> ScheduleWriter: ...

    @property
    def overrides(self) -> OverrideWriter: ...

    @property
    def plans(self) -> PlanWriter: ...

    @property
    def holds(self) -> HoldWriter: ...

    @property
    def history(self) -> HistoryWriter: ...

    @property
    def idempotency(self) -> IdempotencyKeys: ...

    def now(self) -> datetime:
        """The clock as it is now: ask it after the lock."""

    def publish(self, wake_at: Mapping[str, datetime | None], *, at_least: int = 1) -> Mapping[str, int]:
        """Raise the revisions of these environments, return them, and notify listeners at commit.

        `wake_at` has for each environment the earliest instant that this transaction schedules in it, if there is one.
        """

    def commit(self) -> None:
        """Make it so."""


class Store(Protocol):
    """Where flags, schedules and history are kept."""

    def reading(self) -> AbstractContextManager[Reading]:
        """Begin a transaction that only reads."""

    def writing(self) -> AbstractContextManager[Writing]:
        """Begin a transaction that may write."""

    def check(self) -> None:
        """Raise DatabaseUnavailable or SchemaOutdated unless the database can serve."""
