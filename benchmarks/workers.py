"""Recording what is due by several workers at once, beside one: do they help or hinder each other?"""

import sqlalchemy as sa

from benchmarks import databases
from benchmarks.figures import Figure, interleaved
from benchmarks.recorders import recorders, together

ROUNDS = 9
"""More than elsewhere: with all cores busy, anything else that runs disturbs the measurement."""
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


def measure() -> list[Figure]:
    """Schedules a second with two workers and with four, each in one process."""
    with databases.postgresql() as server:
        return [_with_workers(server, number) for number in (2, 4)]


def _with_workers(server: sa.URL, number: int) -> Figure:
    engine = databases.fresh(server)
    with recorders(engine.url, number) as several:
        figure = interleaved(
            f"record, {number} workers, beside one (PostgreSQL)",
            "schedules/s",
            lambda: together(engine, several),
            lambda: together(engine, several[:1]),
            "at least 1.0",
            ROUNDS,
        )
    _refuse_deadlocks(engine)
    engine.dispose()
    return figure


def _refuse_deadlocks(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        if deadlocks := connection.exec_driver_sql(DEADLOCKS).scalar_one():
            raise RuntimeError(f"{deadlocks} deadlocks")
