"""A long past, what is coming, and what is due, put in place by PostgreSQL itself."""

import sqlalchemy as sa

# As if each flag had followed a plan for a day.
FINISHED = """
    INSERT INTO feature_flag_schedules (id, flag_id, seq, scheduled_at, updates, status, created_by, created_at,
                                        updated_at, applied_at, flag_version)
    SELECT gen_random_uuid(), flag.id, n, at, jsonb_build_object('enabled', n % 2 = 0, 'rolloutPercentage', n % 101),
           'applied', 'ada', at, at, at, n + 1
    FROM feature_flags flag, generate_series(1, :each) n, LATERAL (SELECT now() - n * interval '1 minute') past (at)
"""
HISTORY = """
    INSERT INTO feature_flag_history (flag_id, flag_key, environment, action, schedule_id, flag_version,
                                      before, after, actor, effective_at, recorded_at)
    SELECT flag.id, flag.key, flag.environment, action, s.id, s.flag_version, s.updates, s.updates, 'ada',
           s.scheduled_at, s.scheduled_at
    FROM feature_flag_schedules s JOIN feature_flags flag ON flag.id = s.flag_id,
         unnest(ARRAY['schedule.created', 'schedule.applied']) action
"""
COUNTED = "UPDATE feature_flags SET last_seq = :each, version = :each + 1"
PENDING = """
    INSERT INTO feature_flag_schedules (id, flag_id, seq, scheduled_at, updates, status, created_by, created_at,
                                        updated_at)
    SELECT gen_random_uuid(), flag.id, flag.last_seq + n, clock_timestamp() + n * make_interval(secs => :step),
           jsonb_build_object('enabled', n % 2 = 0, 'rolloutPercentage', n % 101), 'pending', 'ada', now(), now()
    FROM (SELECT * FROM feature_flags ORDER BY key LIMIT :flags) flag, generate_series(1, :each) n
"""
PLANNED = """
    UPDATE feature_flags flag SET last_seq = last_seq + :each, next_due_at = (
        SELECT min(scheduled_at) FROM feature_flag_schedules WHERE flag_id = flag.id AND status = 'pending'
    ) WHERE key IN (SELECT key FROM feature_flags ORDER BY key LIMIT :flags)
"""
TOMORROW, JUST_NOW = 86_400.0, -0.001
"""Steps between the pending schedules of a flag, in seconds."""


def finish(engine: sa.Engine, *, each: int) -> None:
    """Give each flag so many finished schedules, with the history of their creation and of their effect."""
    with engine.begin() as connection:
        connection.execute(sa.text(FINISHED), {"each": each})
        connection.execute(sa.text(HISTORY))
        connection.execute(sa.text(COUNTED), {"each": each})


def plan(engine: sa.Engine, step: float, *, flags: int, each: int) -> None:
    """Give each of the first flags so many pending schedules."""
    given = {"flags": flags, "each": each}
    with engine.begin() as connection:
        connection.execute(sa.text(PENDING), given | {"step": step})
        connection.execute(sa.text(PLANNED), given)
