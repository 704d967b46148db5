"""What a reader sees of a plan while no worker runs: each answer beside the plan for the answer's own instant."""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import cycle

from benchmarks import databases, seeds
from benchmarks.figures import Figure
from flagsched.database.unit_of_work import SqlReading, SqlStore
from flagsched.domain.flags import FlagName
from flagsched.usecases.flags import read_flag

FLAGS, CHANGES, SECONDS = 60, 300, 15
PREPARING = timedelta(seconds=1)


class Remembering(SqlStore):
    """A store that remembers the instant of its last answer."""

    at: datetime

    @contextmanager
    def reading(self) -> Iterator[SqlReading]:
        """Keep its instant too."""
        with super().reading() as work:
            self.at = work.at
            yield work


def measure() -> list[Figure]:
    """How many answers, in a loop over the time of the plan, were not as the plan says for their instant."""
    with databases.postgresql() as server:
        engine = databases.fresh(server)
        seeds.idle(engine, flags=FLAGS)
        begin = datetime.now(UTC).replace(microsecond=0) + PREPARING
        plan = [begin + n * timedelta(seconds=SECONDS) / CHANGES for n in range(CHANGES)]
        seeds.plan(engine, plan)
        answers, off = _read(Remembering(engine), plan)
        engine.dispose()
    return [Figure(f"of {answers:,} answers to a reader, late or early", "answers", off, 0, off / answers, "0")]


def _read(store: Remembering, plan: list[datetime]) -> tuple[int, int]:
    """The number of answers, and of those that were off the plan."""
    answers = off = 0
    for number in cycle(range(1, FLAGS + 1)):
        shown = read_flag(FlagName("production", f"flag-{number}"), store=store).state
        answers += 1
        off += (shown.enabled, shown.rollout_percentage, shown.version) != _planned(plan, number, store.at)
        if store.at > plan[-1] + PREPARING:
            break
    return answers, off


def _planned(plan: list[datetime], number: int, at: datetime) -> tuple[bool, int, int]:
    """Enabled, percentage and version of a flag as `seeds.plan` has planned them."""
    mine = [n for n in range(1, bisect_right(plan, at) + 1) if 1 + n % FLAGS == number]
    return (mine[-1] % 2 == 0, mine[-1] % 101, 1 + len(mine)) if mine else (False, 0, 1)
