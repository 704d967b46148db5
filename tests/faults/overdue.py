"""Flags with plans that have been due for long, and the history of how they were planned, by the database itself."""

import sqlalchemy as sa

from benchmarks import seeds
from tests.faults.agendas import Steps

TOLD = """
    INSERT INTO feature_flag_history (flag_id, flag_key, environment, action, flag_version, after, actor, effective_at,
                                      recorded_at)
    SELECT id, key, environment, 'flag.created', 1,
           jsonb_build_object('enabled', enabled, 'rolloutPercentage', rollout_percentage), 'ada', created_at,
           created_at
    FROM feature_flags;
    INSERT INTO feature_flag_history (flag_id, flag_key, environment, action, schedule_id, flag_version, after, actor,
                                      effective_at, recorded_at)
    SELECT flag.id, flag.key, flag.environment, 'schedule.created', one.id, 1, one.updates, 'ada', one.created_at,
           one.created_at
    FROM feature_flag_schedules one JOIN feature_flags flag ON flag.id = one.flag_id;
"""
PLANNED = """
    SELECT flag.key, one.scheduled_at, (one.updates ->> 'rolloutPercentage')::int AS percentage
    FROM feature_flag_schedules one JOIN feature_flags flag ON flag.id = one.flag_id ORDER BY one.scheduled_at
"""
LEFT = "SELECT count(*) FROM feature_flag_schedules WHERE status = 'pending' AND scheduled_at <= now()"


def overdue(engine: sa.Engine, *, flags: int, each: int) -> dict[str, Steps]:
    """So many flags, `flag-1` and so on, with so many steps each, all of them due for half an hour or more."""
    seeds.due(engine, flags=flags, each=each)
    planned: dict[str, Steps] = {}
    with engine.begin() as connection:
        connection.exec_driver_sql(TOLD)
        for row in connection.exec_driver_sql(PLANNED):
            planned.setdefault(row.key, []).append((row.scheduled_at, row.percentage))
    return planned


def left(engine: sa.Engine) -> int:
    """How many steps are in effect and not written down."""
    with engine.connect() as connection:
        return int(connection.exec_driver_sql(LEFT).scalar_one())
