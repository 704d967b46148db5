"""Recording what is due: one worker beside a plain program with one set statement per 500 on the same tables."""

from time import monotonic, perf_counter
from typing import Any

import sqlalchemy as sa

from benchmarks import databases, seeds
from benchmarks.figures import Figure, interleaved
from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.materialise import Setbacks, materialise_due

FLAGS, EACH = 100, 100
CLAIM = """
    SELECT id FROM feature_flags WHERE next_due_at <= now() AND (retry_at IS NULL OR retry_at <= now())
    ORDER BY next_due_at LIMIT 5 FOR NO KEY UPDATE SKIP LOCKED
"""
# State, status and history of 500 schedules in one statement; it folds in SQL, which the product must not.
RECORD = """
    WITH due AS (
        SELECT s.id, s.flag_id, s.scheduled_at, s.updates, f.key, f.environment,
               f.version + row_number() OVER steps AS version,
               lag(s.updates) OVER steps AS before
        FROM feature_flag_schedules s JOIN feature_flags f ON f.id = s.flag_id
        WHERE s.flag_id = ANY(%s::uuid[]) AND s.status = 'pending' AND s.scheduled_at <= now()
        WINDOW steps AS (PARTITION BY s.flag_id ORDER BY s.scheduled_at, s.seq)
    ), ended AS (
        UPDATE feature_flag_schedules s SET status = 'applied', applied_at = now(), flag_version = due.version
        FROM due WHERE s.id = due.id RETURNING s.id
    ), told AS (
        INSERT INTO feature_flag_history (flag_id, flag_key, environment, action, schedule_id, flag_version,
                                          before, after, actor, effective_at, recorded_at)
        SELECT flag_id, key, environment, 'schedule.applied', id, version,
               before, updates, 'flagsched', scheduled_at, now()
        FROM due ORDER BY flag_id, version
    ), last AS (SELECT DISTINCT ON (flag_id) * FROM due ORDER BY flag_id, version DESC)
    UPDATE feature_flags f SET enabled = (last.updates ->> 'enabled')::boolean, version = last.version,
           rollout_percentage = (last.updates ->> 'rolloutPercentage')::int, changed_at = last.scheduled_at,
           next_due_at = NULL
    FROM last WHERE f.id = last.flag_id
"""


def measure() -> list[Figure]:
    """Schedules a second, on both databases."""
    with databases.postgresql() as server:
        engine = databases.fresh(server)
        on_postgresql = interleaved(
            "record, one worker (PostgreSQL)",
            "schedules/s",
            lambda: by_worker(engine),
            lambda: plainly(engine),
            "at least 0.5",
        )
        engine.dispose()
    return [on_postgresql]


def by_worker(engine: sa.Engine) -> float:
    """What the worker's use case records, a second."""
    seeds.due(engine, flags=FLAGS, each=EACH)
    store, setbacks = SqlStore(engine), Setbacks(monotonic)
    began = perf_counter()
    while materialise_due(store, setbacks).flags:
        pass
    return _speed(engine, began)


def plainly(engine: sa.Engine) -> float:
    """What a program without any of our code records, a second."""
    seeds.due(engine, flags=FLAGS, each=EACH)
    connection: Any = engine.raw_connection()
    began = perf_counter()
    with connection.cursor() as cursor:
        while True:
            cursor.execute(CLAIM)
            if not (claimed := [row[0] for row in cursor.fetchall()]):
                break
            cursor.execute(RECORD, (claimed,))
            connection.commit()
    speed = _speed(engine, began)
    connection.close()
    return speed


def _speed(engine: sa.Engine, began: float) -> float:
    seconds = perf_counter() - began
    if (left := seeds.left(engine)) > 0:
        raise RuntimeError(f"{left} schedules were not recorded")
    return FLAGS * EACH / seconds
