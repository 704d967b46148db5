"""What the processes of one host tell, whatever is written when, and however their reads of the database interleave."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from flagsched.ports.store import Store
from flagsched.snapshots.announcements import LEASE_SECONDS, Announcement, DatabaseRead, Latest, after_read
from flagsched.snapshots.cache import SnapshotCache

PROCESSES = 3
TICK = 1e-6
CALLS_OF_A_READ = 3
waits = st.sampled_from([0.0, 0.0, 0.001, 0.003, 0.008, 0.011])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.just(0), waits),
        st.tuples(st.just("ask"), st.integers(0, PROCESSES - 1), waits),
        st.tuples(st.just("look"), st.integers(0, PROCESSES - 1), waits),
    ),
    max_size=60,
)


class Board:
    """The announcement that all processes share, in memory."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._latest: Announcement | None = None

    def latest(self) -> Latest:
        return Latest(self._latest, self._monotonic())

    def close(self) -> None:
        pass

    def announce(self, read: DatabaseRead) -> Announcement | None:
        self._latest = after_read(self._latest, read, self._monotonic())
        return self._latest


class Read:
    """One transaction: what it finds is fixed when it begins, and time passes before and after that."""

    def __init__(self, host: "Host") -> None:
        self.at = host.utc()
        self.snapshots = self
        self._revision = host.revision
        self._host = host

    def now(self) -> datetime:
        return self._host.utc()

    def revisions(self) -> Mapping[str, int]:
        self._host.pass_time()
        return {"production": self._revision}

    def whole(self, environment: str) -> list[Any]:
        del environment
        self._host.whole_reads += 1
        return []

    def changed_since(self, environment: str, revision: int) -> list[Any]:
        del environment, revision
        return []


class Host:
    """Some processes on one host, the database that they read, and a client that asks them all in turns."""

    def __init__(self, script: list[tuple[str, int, float]]) -> None:
        self.time = 1000.0
        self.revision = 1
        self.told: list[int] = []
        self.whole_reads = 0
        self._script: list[tuple[str, int, float]] = []
        self._busy: set[int] = set()
        self._board = Board(lambda: self.time)
        self._processes: list[SnapshotCache] = []
        for _ in range(PROCESSES):
            self.start_process()
        self._script = script

    def start_process(self) -> int:
        """One more, which reads all at once; gives its number."""
        store = cast("Store", self)
        self._processes.append(SnapshotCache(store, lambda: self.time, self._board, sleep=self.pass_time))
        self._processes[-1].refresh()
        return len(self._processes) - 1

    def utc(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    @contextmanager
    def reading(self) -> Iterator[Read]:
        self.pass_time()
        yield Read(self)
        self.pass_time()

    def pass_time(self, seconds: float = 0) -> None:
        """Whatever the script says comes next happens within this time."""
        self.time += seconds / 2
        if self._script:
            self.do(*self._script.pop(0))
        self.time += seconds / 2 + TICK

    def do(self, what: str, which: int, wait: float) -> None:
        self.time += wait
        if what == "write":
            self.revision += 1
        elif what == "look" and which not in self._busy:
            self._look(which)
        elif what == "ask":
            self._ask(which)

    def _look(self, which: int) -> None:
        self._busy.add(which)
        self._processes[which].refresh()
        self._busy.discard(which)

    def _ask(self, which: int) -> None:
        process = self._processes[which]
        if self.time >= process.snapshots["production"].ends_at and not process.renewed("production"):
            if which in self._busy:
                return  # It waits for the look that is under way.
            self._look(which)
            if self.time >= process.snapshots["production"].ends_at and not process.renewed("production"):
                return  # And so on.
        self.told.append(process.snapshots["production"].effective.snapshot.revision)

    def meanwhile(self, *steps: tuple[str, int, float]) -> None:
        """Have something done once the next read has its snapshot."""
        self._script += [("wait", 0, 0.0), *steps]

    def while_waiting(self, step: tuple[str, int, float]) -> None:
        """Have something done while the next look waits for the instant that it has announced."""
        self._script += [("wait", 0, 0.0)] * CALLS_OF_A_READ + [step]

    def play(self) -> None:
        while self._script:
            self.do(*self._script.pop(0))


# Not made smaller: a script that is cut short means something else, and finding that out takes minutes.
@settings(max_examples=3 * settings().max_examples, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(steps)
def test_no_client_is_told_an_older_revision_than_before(script: list[tuple[str, int, float]]) -> None:
    host = Host(list(script))

    host.play()

    assert host.told == sorted(host.told)


def test_a_process_that_missed_a_change_tells_no_older_state_though_another_change_is_pending() -> None:
    host = Host([])
    host.do("write", 0, 0.1)
    host.do("look", 0, 0)
    host.do("ask", 0, 0)

    host.do("write", 0, LEASE_SECONDS)
    host.while_waiting(("ask", 1, 0))
    host.do("look", 0, 0)

    assert host.told[0] == 2
    assert host.told == sorted(host.told)


@given(st.integers(0, PROCESSES - 1))
def test_a_change_is_told_by_every_process_once_one_tells_it(first: int) -> None:
    host = Host([])
    host.do("write", 0, 0.1)

    host.do("look", first, 0)
    for which in (first, *range(PROCESSES)):
        host.do("ask", which, 0)

    assert host.told == [2] * (PROCESSES + 1)


def test_a_read_that_another_process_overtakes_is_not_begun_anew_from_nothing() -> None:
    host = Host([])
    host.whole_reads = 0
    host.meanwhile(("write", 0, 0.0), ("look", 0, 0.0))

    started = host.start_process()
    host.do("ask", started, 0)

    assert host.told == [2]
    assert host.whole_reads == 1


def test_a_backup_that_was_restored_is_told_though_it_has_counted_less() -> None:
    host = Host([])
    host.revision = 100
    host.do("look", 0, 1)
    host.revision = 90

    host.do("look", 1, 1)
    for which in range(PROCESSES):
        host.do("ask", which, LEASE_SECONDS)

    assert host.told == [90, 90, 90]
