"""The negative control: the claim that one writes first, of schedules with SKIP LOCKED, and what becomes of it."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.schedules import PlannedChange
from flagsched.domain.updates import Updates
from flagsched.usecases.doctor import examine
from flagsched.usecases.flags import create_flag, read_flag
from flagsched.usecases.schedules import plan_schedules
from tests.builders import ADMIN, CHECKOUT, a_new_flag
from tests.processes import until

CLAIM = """
    SELECT id, flag_id, (updates ->> 'rolloutPercentage')::int AS percentage, scheduled_at FROM feature_flag_schedules
    WHERE status = 'pending' AND scheduled_at <= now() ORDER BY scheduled_at, seq LIMIT 1 FOR UPDATE SKIP LOCKED
"""
APPLY = """
    WITH flag AS (
        UPDATE feature_flags SET rollout_percentage = %(percentage)s, version = version + 1,
               changed_at = %(scheduled_at)s
        WHERE id = %(flag_id)s RETURNING *
    ), ended AS (
        UPDATE feature_flag_schedules s SET status = 'applied', applied_at = now(), flag_version = flag.version
        FROM flag WHERE s.id = %(id)s
    )
    INSERT INTO feature_flag_history (flag_id, flag_key, environment, action, schedule_id, flag_version, after, actor,
                                      effective_at, recorded_at)
    SELECT id, key, environment, 'schedule.applied', %(id)s, version,
           jsonb_build_object('enabled', enabled, 'rolloutPercentage', rollout_percentage), 'naive', changed_at, now()
    FROM flag
"""


def test_workers_that_claim_schedules_break_what_the_doctor_asks_for(store: SqlStore, engine: sa.Engine) -> None:
    create_flag(a_new_flag(), by=ADMIN, store=store)
    with store.reading() as work:
        soon = work.at + timedelta(seconds=0.2)
    changes = [PlannedChange(soon + timedelta(milliseconds=n), Updates(rollout_percentage=n)) for n in (10, 20)]
    plan_schedules(CHECKOUT, changes, batch=True, by=ADMIN, store=store)
    until(lambda: read_flag(CHECKOUT, store=store).state.version == 3)

    with engine.connect() as slow, engine.connect() as quick:
        first = slow.exec_driver_sql(CLAIM).one()._asdict()
        second = quick.exec_driver_sql(CLAIM).one()._asdict()
        quick.exec_driver_sql(APPLY, second)
        quick.commit()
        slow.exec_driver_sql(APPLY, first)
        slow.commit()

    broken = {finding.check for finding in examine(store, datetime.now(UTC)) if not finding.ok}
    assert {"schedules were applied in order", "each change begins where the one before it ended"} <= broken
