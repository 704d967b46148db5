"""What the use cases need of the world, as protocols; `database/` implements them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from flagsched.domain.flags import Flag, FlagName
from flagsched.domain.history import Action, Actor, Ending, Entry, StoredEntry
from flagsched.domain.idempotency import Answer, RequestKey
from flagsched.domain.overrides import Override
from flagsched.domain.schedules import Planned, Schedule, Status
from flagsched.domain.snapshot import FlagPlan

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class FlagQuery:
    """Which flags of an environment, by key: those after the key `after`, `limit` at most."""

    environment: str
    search: str = ""
    after: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class ScheduleQuery:
    """Which schedules of a flag, in order: those after (scheduled_at, seq) `after`, `limit` at most."""

    statuses: Collection[Status] = ()
    after: tuple[datetime, int] | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class PlanQuery:
    """Which schedules of an environment, by time, from `start` until before `end`.

    Those after (scheduled_at, flag id, seq) `after`, `limit` at most.
    """

    environment: str
    statuses: Collection[Status] = ()
    batch_id: UUID | None = None
    start: datetime | None = None
    end: datetime | None = None
    after: tuple[datetime, UUID, int] | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which entries, newest first, in effect from `start` until before `end`.

    Those before (effective_at, id) `before`, `limit` at most; of one flag if `flag_id` says so, else of an environment.
    """

    environment: str
    flag_id: UUID | None = None
    flag_key: str | None = None
    action: Action | None = None
    actor: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    before: tuple[datetime, int] | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class OverrideQuery:
    """Which overrides of a flag, by user: those after the user `after`, `limit` at most."""

    after: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Part of a list, and whether more follows."""

    items: Sequence[Item]
    more: bool


class FlagReader(Protocol):
    """Flags that are not archived, as last written."""

    def find(self, name: FlagName) -> Flag | None:
        """The flag of that name."""

    def page(self, query: FlagQuery) -> Page[Flag]:
        """Flags by key."""

    def among(self, flag_ids: Collection[UUID]) -> Mapping[UUID, Flag]:
        """The flags of these ids, archived or not, by id."""

    def earliest_due(self, *, passing_over: Collection[UUID], after: datetime | None = None) -> datetime | None:
        """The earliest instant, or the earliest after `after`, at which a flag may be claimed, over all but these."""


class ScheduleReader(Protocol):
    """Schedules as last written."""

    def find(self, flag: Flag, schedule_id: UUID) -> Schedule | None:
        """The schedule of that id, if it belongs to `flag`."""

    def page(self, flag: Flag, query: ScheduleQuery) -> Page[Schedule]:
        """Schedules of `flag` by (scheduled_at, seq)."""

    def page_of_all(self, query: PlanQuery) -> Page[Schedule]:
        """Schedules of all flags, archived ones too, by (scheduled_at, flag id, seq)."""

    def count_pending(self, flag: Flag) -> int:
        """How many schedules of `flag` are pending."""

    def pending(self, flags: Iterable[Flag]) -> Mapping[UUID, list[Schedule]]:
        """All pending schedules of these flags, by flag id; a flag without any has an empty list."""


class OverrideReader(Protocol):
    """Users of a flag who are set apart."""

    def find(self, flag: Flag, user_id: str) -> Override | None:
        """That of one user."""

    def page(self, flag: Flag, query: OverrideQuery) -> Page[Override]:
        """Those of a flag by user."""

    def count(self, flag: Flag) -> int:
        """How many a flag has."""


class HistoryReader(Protocol):
    """What happened."""

    def page(self, query: HistoryQuery) -> Page[StoredEntry]:
        """Entries by (effective_at, id), newest first."""

    def state_changes(self, flag: Flag, start: datetime | None, end: datetime | None, limit: int) -> Page[StoredEntry]:
        """The entries that made the versions of `flag`, in order.

        Those in effect after `start` and before `end`, `limit` at most, and before them the one in effect at `start`.
        """


@dataclass(frozen=True, slots=True)
class Overdue:
    """A flag whose record waits: since when, and why if it was tried."""

    flag: str
    since: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Stored:
    """How much there is: rows by what they are, and bytes. What only SQLite's host can tell is None elsewhere."""

    rows: Mapping[str, int]
    kept_too_long: int
    """Answers to requests that should be forgotten."""
    database_bytes: int
    wal_bytes: int | None = None
    free_bytes: int | None = None
    open_files: Sequence[str] = ()
    """Files that others than their owner may read."""


class Examiner(Protocol):
    """What can be asked of everything that is stored, when it is in doubt."""

    def examine(self) -> Mapping[str, Page[str]]:
        """Each invariant, as a sentence, with the first of those that break it."""

    def overdue(self, before: datetime) -> Page[Overdue]:
        """Flags with something due before `before` that is not recorded, and those that could not be."""

    def last_recorded_at(self) -> datetime | None:
        """When the last entry of the history was written."""

    def environments(self) -> list[str]:
        """All environments, by name."""

    def stored(self, forgotten_before: datetime) -> Stored:
        """How much is stored; answers that were kept before `forgotten_before` should be no more."""


class SnapshotReader(Protocol):
    """What snapshots are made of."""

    def revisions(self) -> Mapping[str, int]:
        """The revision of each environment, by name."""

    def whole(self, environment: str) -> list[FlagPlan]:
        """All flags of an environment that are not archived, with what is planned for them."""

    def changed_since(self, environment: str, revision: int) -> list[FlagPlan]:
        """Those that were changed by a later revision than this, archived ones too."""


class Reading(Protocol):
    """One transaction that sees one instant of the database and writes nothing."""

    @property
    def flags(self) -> FlagReader:
        """The flags."""

    @property
    def schedules(self) -> ScheduleReader:
        """Their schedules."""

    @property
    def overrides(self) -> OverrideReader:
        """Their users who are set apart."""

    @property
    def history(self) -> HistoryReader:
        """What happened to them."""

    @property
    def examiner(self) -> Examiner:
        """All of it, in doubt."""

    @property
    def snapshots(self) -> SnapshotReader:
        """The plans of whole environments."""

    @property
    def at(self) -> datetime:
        """The instant of this transaction, fixed before its snapshot."""

    def now(self) -> datetime:
        """The clock as it is now, as exactly as it tells."""


class FlagWriter(FlagReader, Protocol):
    """Flags, with the lock under which alone they and their schedules are changed."""

    def lock(self, name: FlagName) -> Flag | None:
        """The flag of that name, locked until the transaction ends; FlagBusy after 3 s of waiting."""

    def claim_due(self, limit: int, *, passing_over: Collection[UUID]) -> list[Flag]:
        """Up to `limit` flags with something due, locked, but for those that others hold or that must wait."""

    def claim(self, flag_id: UUID) -> Flag | None:
        """One flag, locked, if something of it is due and nobody holds it."""

    def add(self, flag: Flag) -> None:
        """Insert a flag; FlagExists if its key is taken."""

    def settle(self, recorded: Sequence[Flag]) -> None:
        """Write flags as recorded, and from what is still pending when the next is due."""

    def change(self, flag: Flag, *, revision: int) -> None:
        """Write a flag as an admin changed it or its plan: the last statement of its transaction.

        Raises Overtaken if, by the clock of this very statement, something of the plan before or after is in effect;
        on PostgreSQL the commit looks once more, and raises the same. `revision` is the environment's.
        """

    def lock_all(self, environment: str) -> list[UUID]:
        """Lock all flags of an environment, archived ones too, and give their ids."""

    def recompute(self, locked: Collection[UUID], *, revision: int) -> None:
        """Write of these flags when the next is due, as their plans say, and that all of them has changed."""

    def postpone(self, flag_id: UUID, *, until: datetime, error: str) -> None:
        """Let no worker claim the flag before `until`, and say why."""


class ScheduleWriter(ScheduleReader, Protocol):
    """Schedules; each method is one statement, whatever the number of schedules."""

    def due(self, flags: Sequence[Flag], at: datetime, limit: int) -> Mapping[UUID, list[Planned]]:
        """The pending schedules due at `at`, by flag id.

        Holds each flag whole or not at all: the first with something due, as many more as make up to `limit`
        schedules, and an empty list for each that has nothing due.
        """

    def change(self, schedule: Schedule) -> None:
        """Write its new instant and updates; StatementFailed if it is not pending any more."""

    def end(self, ended: Sequence[Schedule]) -> None:
        """Write how they ended; StatementFailed if one of them is not pending any more."""


class OverrideWriter(OverrideReader, Protocol):
    """Users of a flag who are set apart; its lock covers them."""

    def put(self, override: Override) -> None:
        """Insert it, in the place of one that is there."""

    def remove(self, override: Override) -> None:
        """Delete it."""


class HistoryWriter(Protocol):
    """The append-only list of everything that happened."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Add them, in one statement."""

    def append_plan(self, flag: Flag, planned: Sequence[Schedule], *, by: Actor, recorded_at: datetime) -> None:
        """Insert schedules that were planned at once, and an entry for each, in one statement or two."""

    def append_endings(self, endings: Sequence[Ending], recorded_at: datetime) -> None:
        """End schedules by their instants, and add an entry for each, in one statement or two.

        Raises StatementFailed if one of them is not pending any more.
        """


class AnswerKeeper(Protocol):
    """The answers to requests that are to have effect once, however often they come."""

    def begin(self, request: RequestKey, now: datetime) -> Answer | None:
        """Take the key for this request, or give the answer that is kept under it.

        Waits while another transaction holds the key. Raises KeyReused, KeyInProgress.
        """

    def keep(self, request: RequestKey, answer: Answer, now: datetime) -> None:
        """Keep the answer for LIFE, and forget some that were kept for as long."""

    def forget(self, now: datetime, limit: int) -> int:
        """Forget up to `limit` answers that were kept for LIFE, and say how many it were."""


class Writing(Protocol):
    """One transaction that may write; what is not committed is rolled back."""

    @property
    def flags(self) -> FlagWriter:
        """The flags."""

    @property
    def schedules(self) -> ScheduleWriter:
        """Their schedules."""

    @property
    def overrides(self) -> OverrideWriter:
        """Their users who are set apart."""

    @property
    def history(self) -> HistoryWriter:
        """What happened to them."""

    @property
    def answers(self) -> AnswerKeeper:
        """What was answered before."""

    def now(self) -> datetime:
        """The clock as it is now: ask it after the lock."""

    def publish(self, environment: str, wake_at: datetime | None = None, *, at_least: int = 1) -> int:
        """Raise the environment's revision, give it, and tell it at commit to whoever listens.

        `wake_at` is the instant of the earliest schedule that this transaction creates.
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
