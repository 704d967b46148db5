"""Recording what is due: one worker beside a plain program with one set statement per 500 on the same tables."""

import json
from collections.abc import Callable
from time import perf_counter
from typing import Any

import sqlalchemy as sa

from benchmarks import databases, seeds
from benchmarks.figures import Figure, interleaved
from benchmarks.recorders import EACH, FLAGS, recorders, speed, together

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
    ), entries AS (
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

PLAIN_DUE = """
    SELECT id, updates, scheduled_at FROM feature_flag_schedules
    WHERE flag_id = ? AND status = 'pending' AND scheduled_at <= ? ORDER BY scheduled_at, seq
"""
PLAIN_END = "UPDATE feature_flag_schedules SET status = 'applied', applied_at = ?, flag_version = ? WHERE id = ?"
PLAIN_ENTRY = """
    INSERT INTO feature_flag_history (flag_id, flag_key, environment, action, schedule_id, flag_version, before, after,
                                      actor, effective_at, recorded_at)
    VALUES (?, ?, 'production', 'schedule.applied', ?, ?, ?, ?, 'flagsched', ?, ?)
"""
PLAIN_FLAG = """
    UPDATE feature_flags SET enabled = ?, rollout_percentage = ?, version = ?, changed_at = ?, next_due_at = NULL
    WHERE id = ?
"""


def measure() -> list[Figure]:
    """Schedules a second, on both databases."""
    with databases.postgresql() as server, databases.sqlite() as file:
        return [
            _beside(databases.fresh(server), "PostgreSQL", plainly, "at least 0.5"),
            _beside(file, "SQLite", plainly_on_sqlite, "at least 1.0"),
        ]


def _beside(engine: sa.Engine, name: str, ceiling: Callable[[sa.Engine], float], wanted: str) -> Figure:
    with recorders(engine.url, 1) as one:
        figure = interleaved(
            f"record, one worker ({name})",
            "schedules/s",
            lambda: together(engine, one),
            lambda: ceiling(engine),
            wanted,
        )
    engine.dispose()
    return figure


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
    rate = speed(engine, began)
    connection.close()
    return rate


def plainly_on_sqlite(engine: sa.Engine) -> float:
    """What a program with executemany in batches of 100 records, a second, with synchronous=FULL."""
    seeds.due(engine, flags=FLAGS, each=EACH)
    connection: Any = engine.raw_connection()
    began = perf_counter()
    now = "2026-06-01 14:00:00.000000"
    for flag_id, key, version in connection.execute("SELECT id, key, version FROM feature_flags").fetchall():
        connection.execute("BEGIN IMMEDIATE")
        due = connection.execute(PLAIN_DUE, (flag_id, now)).fetchall()
        versions = range(version + 1, version + 1 + len(due))
        before = [None, *(updates for _, updates, _ in due)]
        rows = [
            (flag_id, key, one[0], n, previous, one[1], one[2], now)
            for n, previous, one in zip(versions, before, due, strict=False)
        ]
        connection.executemany(PLAIN_END, [(now, n, row[0]) for n, row in zip(versions, due, strict=True)])
        connection.executemany(PLAIN_ENTRY, rows)
        last = json.loads(due[-1][1])
        connection.execute(PLAIN_FLAG, (last["enabled"], last["rolloutPercentage"], versions[-1], due[-1][2], flag_id))
        connection.execute("COMMIT")
    rate = speed(engine, began)
    connection.close()
    return rate
