"""Refuse to commit a schedule whose instant has passed; have SQLite use the index of pending schedules."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Only an admin's change raises a flag's revision; recording does not. SQLite's commits are not delayed.
FUNCTION = """
    CREATE FUNCTION feature_flags_refuse_overtaken() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF least(OLD.next_due_at, NEW.next_due_at) <= clock_timestamp()
            AND current_setting('flagsched.repairing', true) IS DISTINCT FROM 'on'
        THEN
            RAISE EXCEPTION 'flag % is changing by its plan just now', NEW.key
                USING ERRCODE = 'check_violation', CONSTRAINT = 'ck_feature_flags_not_overtaken';
        END IF;
        RETURN NULL;
    END $$
"""
TRIGGER = """
    CREATE CONSTRAINT TRIGGER feature_flags_not_overtaken AFTER UPDATE ON feature_flags
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.revision IS DISTINCT FROM NEW.revision)
    EXECUTE FUNCTION feature_flags_refuse_overtaken()
"""


PENDING = "ix_feature_flag_schedules_pending"
SCHEDULES = "feature_flag_schedules"


def upgrade() -> None:
    """Check the clock once more, in the COMMIT itself."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(FUNCTION)
        op.execute(TRIGGER)
    else:
        # Of two equally good indexes SQLite uses the newest, and the other one has all schedules that ever were.
        op.drop_index(PENDING, SCHEDULES)
        op.create_index(
            PENDING, SCHEDULES, ["flag_id", "scheduled_at", "seq"], sqlite_where=sa.text("status = 'pending'")
        )


def downgrade() -> None:
    """Check the clock in the last statement only."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER feature_flags_not_overtaken ON feature_flags")
        op.execute("DROP FUNCTION feature_flags_refuse_overtaken()")
