"""Flags with plans that are due, put in place by the database itself, and taken away again."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

ON_POSTGRESQL = """
    INSERT INTO feature_flags (id, environment, key, enabled, rollout_percentage, description, version, revision,
                               last_seq, next_due_at, changed_at, created_at)
    SELECT gen_random_uuid(), 'production', 'flag-' || f, false, 0, '', 1, 1, {each}, {due}, now() - interval '2 hours',
           now() - interval '2 hours'
    FROM generate_series(1, {flags}) f;
    INSERT INTO feature_flag_schedules (id, flag_id, seq, scheduled_at, updates, status, created_by, created_at,
                                        updated_at)
    SELECT gen_random_uuid(), flag.id, n, {due} + n * interval '1 second',
           jsonb_build_object('enabled', n % 2 = 0, 'rolloutPercentage', n % 101), 'pending', 'ada', now(), now()
    FROM feature_flags flag, generate_series(1, {each}) n WHERE flag.key LIKE 'flag-%';
    INSERT INTO feature_flag_environments VALUES ('production', 1) ON CONFLICT DO NOTHING;
"""
ON_SQLITE = """
    WITH RECURSIVE f(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM f WHERE n < {flags})
    INSERT INTO feature_flags (id, environment, key, enabled, rollout_percentage, description, version, revision,
                               last_seq, next_due_at, changed_at, created_at)
    SELECT lower(hex(randomblob(16))), 'production', 'flag-' || n, 0, 0, '', 1, 1, {each}, '2026-06-01 12:00:00.000000',
           '2026-06-01 10:00:00.000000', '2026-06-01 10:00:00.000000' FROM f;
    WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {each})
    INSERT INTO feature_flag_schedules (id, flag_id, seq, scheduled_at, updates, status, created_by, created_at,
                                        updated_at)
    SELECT lower(hex(randomblob(16))), flag.id, n,
           strftime('%Y-%m-%d %H:%M:%f000', '2026-06-01 12:00:00', n || ' seconds'),
           json_object('enabled', json(iif(n % 2, 'false', 'true')), 'rolloutPercentage', n % 101), 'pending', 'ada',
           '2026-06-01 10:00:00.000000', '2026-06-01 10:00:00.000000'
    FROM feature_flags flag, s;
"""
PLAN_ON_POSTGRESQL = """
    INSERT INTO feature_flag_schedules (id, flag_id, seq, scheduled_at, updates, status, created_by, created_at,
                                        updated_at)
    SELECT gen_random_uuid(), flag.id, n, at, jsonb_build_object('enabled', n %% 2 = 0, 'rolloutPercentage', n %% 101),
           'pending', 'ada', now(), now()
    FROM unnest(%(instants)s::timestamptz[]) WITH ORDINALITY AS planned (at, n)
    JOIN feature_flags flag ON flag.key = 'flag-' || 1 + n %% (SELECT count(*) FROM feature_flags);
    UPDATE feature_flags flag SET last_seq = cardinality(%(instants)s), next_due_at = (
        SELECT min(scheduled_at) FROM feature_flag_schedules WHERE flag_id = flag.id AND status = 'pending'
    );
"""
EMPTY_POSTGRESQL = """
    ALTER TABLE feature_flag_history DISABLE TRIGGER USER;
    TRUNCATE feature_flag_history, feature_flag_schedules, feature_flag_overrides, feature_flag_holds, feature_flags,
             feature_flag_environments RESTART IDENTITY;
    ALTER TABLE feature_flag_history ENABLE TRIGGER USER;
"""

EMPTY_SQLITE = """
    DROP TRIGGER feature_flag_history_no_delete;
    DELETE FROM feature_flag_history; DELETE FROM feature_flag_schedules; DELETE FROM feature_flag_overrides;
    DELETE FROM feature_flag_holds; DELETE FROM feature_flags;
    CREATE TRIGGER feature_flag_history_no_delete BEFORE DELETE ON feature_flag_history
    BEGIN SELECT RAISE(ABORT, 'feature_flag_history is append-only: DELETE refused'); END;
    VACUUM;
"""


HOLDS_ON_POSTGRESQL = """
    INSERT INTO feature_flag_holds (id, environment, flag_id, starts_at, at_end, reason, refuses_edits, created_by,
                                    created_at, updated_at)
    SELECT gen_random_uuid(), environment, id, now() - interval '1 minute', 'catchUp', 'it burns', false, 'ada', now(),
           now()
    FROM feature_flags ORDER BY key LIMIT {number};
    UPDATE feature_flags SET next_due_at = NULL WHERE id IN (SELECT flag_id FROM feature_flag_holds);
"""


def holds(engine: sa.Engine, number: int) -> None:
    """Hold so many of the flags until they are released, on PostgreSQL."""
    with engine.begin() as connection:
        connection.exec_driver_sql(HOLDS_ON_POSTGRESQL.format(number=number))


def due(engine: sa.Engine, *, flags: int = 100, each: int = 100) -> None:
    """Leave only so many flags, with so many schedules each, all of them due for an hour."""
    if engine.dialect.name == "postgresql":
        _seed(engine, flags=flags, each=each, due="now() - interval '1 hour'")
        return
    driver: Any = engine.raw_connection()
    try:
        driver.cursor().executescript(EMPTY_SQLITE)
        driver.cursor().executescript(ON_SQLITE.format(flags=flags, each=each))
    finally:
        driver.close()


def idle(engine: sa.Engine, *, flags: int) -> None:
    """Leave only so many flags, with nothing planned, on PostgreSQL."""
    _seed(engine, flags=flags, each=0, due="NULL::timestamptz")


def evaluated(engine: sa.Engine, *, percentages: int, constant: int = 0) -> None:
    """Leave only so many flags that are on for half of the users, and so many for all of them, on PostgreSQL."""
    idle(engine, flags=percentages + constant)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE feature_flags SET enabled = true, rollout_percentage ="
            f" CASE WHEN substr(key, 6)::int <= {percentages} THEN 50 ELSE 100 END"
        )


def planned(engine: sa.Engine, *, flags: int, each: int) -> None:
    """Leave only so many flags, with so many changes each from tomorrow on, on PostgreSQL."""
    _seed(engine, flags=flags, each=each, due="now() + interval '1 day'")


def plan(engine: sa.Engine, instants: Sequence[datetime]) -> None:
    """Plan a change at each of these instants, on one flag after the other, on PostgreSQL."""
    driver: Any = engine.raw_connection()
    with driver.cursor() as cursor:
        cursor.execute(PLAN_ON_POSTGRESQL, {"instants": list(instants)})
    driver.commit()
    driver.close()


def _seed(engine: sa.Engine, *, flags: int, each: int, due: str) -> None:
    driver: Any = engine.raw_connection()
    try:
        with driver.cursor() as cursor:
            cursor.execute(EMPTY_POSTGRESQL)
            cursor.execute(ON_POSTGRESQL.format(flags=flags, each=each, due=due))
        driver.commit()
    finally:
        driver.close()
    vacuum(engine)


def vacuum(engine: sa.Engine) -> None:
    """Leave PostgreSQL nothing to clean up while it is measured."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
        connection.exec_driver_sql("CHECKPOINT")


def left(engine: sa.Engine) -> int:
    """How many schedules are still pending."""
    with engine.connect() as connection:
        pending: int = connection.exec_driver_sql(
            "SELECT count(*) FROM feature_flag_schedules WHERE status = 'pending'"
        ).scalar_one()
        return pending
