"""What a million finished schedules and their history cost: claim, recording and listing, with and without them."""

from collections.abc import Callable
from functools import partial
from statistics import median
from time import monotonic, perf_counter

import sqlalchemy as sa

from benchmarks import databases, past, seeds
from benchmarks.figures import Figure, interleaved
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagName
from flagsched.domain.schedules import Status
from flagsched.ports.schedules import EnvironmentScheduleQuery, ScheduleQuery
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.materialise import materialise_due
from flagsched.usecases.schedules import list_environment_schedules, list_schedules

FINISHED = 1_000_000
FLAGS, COMING = 1000, 10
DUE_FLAGS, DUE_EACH = 20, 5
REPEATED, ROUNDS = 5, 25
"""Short rounds and many of them: other load of the machine then affects both sides alike."""

Action = Callable[[sa.Engine], None]


def measure(finished: int = FINISHED) -> list[Figure]:
    """Milliseconds with so many finished schedules, beside none."""
    with databases.postgresql() as server:
        full, empty = databases.fresh(server), databases.fresh(server)
        _fill(full, finished)
        _fill(empty, 0)
        figures = [
            interleaved(
                f"{what}, {finished:,} finished schedules behind it",
                "ms",
                partial(_milliseconds, act, full),
                partial(_milliseconds, act, empty),
                "at most 1.2",
                ROUNDS,
            )
            for what, act in ACTIONS.items()
        ]
        full.dispose()
        empty.dispose()
    return figures


def _fill(engine: sa.Engine, finished: int) -> None:
    seeds.idle(engine, flags=FLAGS)
    past.finish(engine, each=finished // FLAGS)
    past.plan(engine, past.TOMORROW, flags=FLAGS, each=COMING)
    past.plan(engine, past.JUST_NOW, flags=DUE_FLAGS, each=DUE_EACH)
    seeds.vacuum(engine)


def _milliseconds(act: Action, engine: sa.Engine) -> float:
    """The median of some repetitions."""
    measured = []
    for _ in range(REPEATED):
        if act is _record:
            past.plan(engine, past.JUST_NOW, flags=DUE_FLAGS, each=DUE_EACH)
        began = perf_counter()
        act(engine)
        measured.append((perf_counter() - began) * 1000)
    return median(measured)


def _list_plans(engine: sa.Engine) -> None:
    page = list_environment_schedules(
        EnvironmentScheduleQuery("production", statuses=[Status.PENDING], limit=50), store=SqlStore(engine)
    )
    assert page.more


def _list_schedules(engine: sa.Engine) -> None:
    query = ScheduleQuery(statuses=[Status.PENDING], limit=50)
    page = list_schedules(FlagName("production", f"flag-{FLAGS - 1}"), query, store=SqlStore(engine))
    assert len(page.items) == COMING


def _record(engine: sa.Engine) -> None:
    recorded = materialise_due(SqlStore(engine), Backoff(monotonic))
    assert recorded.flags == DUE_FLAGS


def _claim(engine: sa.Engine) -> None:
    """Claim, and roll back."""
    with SqlStore(engine).writing() as work:
        claimed = work.flags.claim_due(DUE_FLAGS, passing_over=[])
    assert len(claimed) == DUE_FLAGS


ACTIONS: dict[str, Action] = {
    "first page of all plans": _list_plans,
    "pending schedules of a flag": _list_schedules,
    f"claim of {DUE_FLAGS} flags": _claim,
    f"recording of {DUE_FLAGS * DUE_EACH} schedules": _record,
}
