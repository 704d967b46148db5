"""The ceiling of the lateness: a program that reads the plan once, sleeps until each instant, and writes it down."""

import os
from time import sleep, time

from benchmarks.driver import connect

PLAN = """
    SELECT id, extract(epoch FROM scheduled_at)::float FROM feature_flag_schedules WHERE status = 'pending'
    ORDER BY scheduled_at, seq
"""
# State, status and history in one statement: one trip to the server, and its own transaction.
RECORD = """
    WITH ended AS (
        UPDATE feature_flag_schedules s SET status = 'applied', applied_at = now(), flag_version = f.version + 1
        FROM feature_flags f WHERE f.id = s.flag_id AND s.id = %s
        RETURNING s.id, s.flag_id, s.scheduled_at, s.updates, s.flag_version, f.key, f.environment
    ), entries AS (
        INSERT INTO feature_flag_history (flag_id, flag_key, environment, action, schedule_id, flag_version,
                                          after, actor, effective_at, recorded_at)
        SELECT flag_id, key, environment, 'schedule.applied', id, flag_version,
               updates, 'flagsched', scheduled_at, now()
        FROM ended
    )
    UPDATE feature_flags f SET enabled = (ended.updates ->> 'enabled')::boolean, version = ended.flag_version,
           rollout_percentage = (ended.updates ->> 'rolloutPercentage')::int, changed_at = ended.scheduled_at
    FROM ended WHERE f.id = ended.flag_id
"""


def main() -> None:
    """Follow the plan to its end."""
    connection = connect(os.environ["DATABASE_URL"])
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(PLAN)
        plan = cursor.fetchall()
        print("plan read", flush=True)
        for schedule_id, due_at in plan:
            while (left := due_at - time()) > 0:
                sleep(left)
            cursor.execute(RECORD, (schedule_id,))
    connection.close()


if __name__ == "__main__":
    main()
