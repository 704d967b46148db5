"""Flags, schedules, history and environments."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ON_POSTGRESQL = {
    "refuse": """
        CREATE FUNCTION feature_flag_history_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'feature_flag_history is append-only: % refused', TG_OP
                USING ERRCODE = 'restrict_violation';
        END $$
    """,
    "row": """
        CREATE TRIGGER feature_flag_history_append_only BEFORE UPDATE OR DELETE ON feature_flag_history
        FOR EACH ROW EXECUTE FUNCTION feature_flag_history_refuse()
    """,
    "statement": """
        CREATE TRIGGER feature_flag_history_no_truncate BEFORE TRUNCATE ON feature_flag_history
        FOR EACH STATEMENT EXECUTE FUNCTION feature_flag_history_refuse()
    """,
}
# REPLACE deletes what is in its way without firing a DELETE trigger.
REPLACES = """
    EXISTS (SELECT 1 FROM feature_flag_history WHERE id = NEW.id)
    OR NEW.action = 'schedule.applied' AND EXISTS (
        SELECT 1 FROM feature_flag_history WHERE schedule_id = NEW.schedule_id AND action = 'schedule.applied')
"""
ON_SQLITE = {
    operation: f"""
        CREATE TRIGGER feature_flag_history_no_{operation.lower()} BEFORE {operation} ON feature_flag_history
        BEGIN SELECT RAISE(ABORT, 'feature_flag_history is append-only: {operation} refused'); END
    """
    for operation in ("UPDATE", "DELETE")
} | {
    "REPLACE": f"""
        CREATE TRIGGER feature_flag_history_no_replace BEFORE INSERT ON feature_flag_history WHEN {REPLACES}
        BEGIN SELECT RAISE(ABORT, 'feature_flag_history is append-only: REPLACE refused'); END
    """
}


def instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    """A column that holds an instant."""
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """Make the tables, their indexes and the triggers of the history."""
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    key = sa.String(100, collation="C" if on_postgresql else None)
    json = JSONB() if on_postgresql else sa.JSON()

    op.create_table(
        "feature_flag_environments",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_feature_flag_environments"),
    )
    op.create_table(
        "feature_flags",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("environment", sa.String(64), nullable=False),
        sa.Column("key", key, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("rollout_percentage", sa.SmallInteger, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        instant("next_due_at", nullable=True),
        instant("changed_at"),
        instant("retry_at", nullable=True),
        sa.Column("last_error", sa.Text, nullable=True),
        instant("created_at"),
        instant("archived_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_feature_flags"),
        sa.CheckConstraint("rollout_percentage BETWEEN 0 AND 100", name=op.f("ck_feature_flags_rollout_percentage")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_feature_flags_version")),
        sa.CheckConstraint(
            "archived_at IS NULL OR next_due_at IS NULL", name=op.f("ck_feature_flags_archived_plans_nothing")
        ),
    )
    op.create_index(
        "uq_feature_flags_environment_key",
        "feature_flags",
        ["environment", "key"],
        unique=True,
        postgresql_where=sa.text("archived_at IS NULL"),
        sqlite_where=sa.text("archived_at IS NULL"),
    )
    op.create_index(
        "ix_feature_flags_next_due_at",
        "feature_flags",
        ["next_due_at"],
        postgresql_where=sa.text("next_due_at IS NOT NULL"),
        sqlite_where=sa.text("next_due_at IS NOT NULL"),
    )
    op.create_table(
        "feature_flag_schedules",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("flag_id", sa.Uuid, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("batch_id", sa.Uuid, nullable=True),
        instant("scheduled_at"),
        sa.Column("updates", JSONB() if on_postgresql else sa.Text(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("error_message", sa.Text, nullable=True),
        sa.Column("created_by", sa.Text, nullable=False),
        instant("created_at"),
        instant("updated_at"),
        instant("applied_at", nullable=True),
        sa.Column("flag_version", sa.BigInteger, nullable=True),
        sa.Column("cancelled_by", sa.Text, nullable=True),
        instant("cancelled_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_feature_flag_schedules"),
        sa.ForeignKeyConstraint(["flag_id"], ["feature_flags.id"], name="fk_feature_flag_schedules_flag_id"),
        sa.UniqueConstraint("flag_id", "seq", name="uq_feature_flag_schedules_flag_id_seq"),
        sa.UniqueConstraint("flag_id", "flag_version", name="uq_feature_flag_schedules_flag_id_flag_version"),
        sa.CheckConstraint(
            "status IN ('pending', 'applied', 'cancelled', 'failed')", name=op.f("ck_feature_flag_schedules_status")
        ),
        sa.CheckConstraint(
            "(status = 'applied') = (applied_at IS NOT NULL AND flag_version IS NOT NULL)",
            name=op.f("ck_feature_flag_schedules_applied"),
        ),
        sa.CheckConstraint(
            "(status = 'cancelled') = (cancelled_at IS NOT NULL AND cancelled_by IS NOT NULL)",
            name=op.f("ck_feature_flag_schedules_cancelled"),
        ),
        sa.CheckConstraint(
            "(status = 'failed') = (error_message IS NOT NULL)", name=op.f("ck_feature_flag_schedules_failed")
        ),
    )
    op.create_index(
        "ix_feature_flag_schedules_pending",
        "feature_flag_schedules",
        ["flag_id", "scheduled_at", "seq"],
        postgresql_where=sa.text("status = 'pending'"),
        sqlite_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_feature_flag_schedules_flag_id_scheduled_at", "feature_flag_schedules", ["flag_id", "scheduled_at", "seq"]
    )
    op.create_table(
        "feature_flag_history",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(always=True),
            nullable=False,
        ),
        sa.Column("flag_id", sa.Uuid, nullable=False),
        sa.Column("flag_key", sa.String(100), nullable=False),
        sa.Column("environment", sa.String(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("schedule_id", sa.Uuid, nullable=True),
        sa.Column("flag_version", sa.BigInteger, nullable=False),
        sa.Column("before", json, nullable=True),
        sa.Column("after", json, nullable=True),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=True),
        instant("effective_at"),
        instant("recorded_at"),
        sa.PrimaryKeyConstraint("id", name="pk_feature_flag_history"),
    )
    op.create_index("ix_feature_flag_history_flag_id_id", "feature_flag_history", ["flag_id", "id"])
    op.create_index(
        "uq_feature_flag_history_applied_schedule",
        "feature_flag_history",
        ["schedule_id"],
        unique=True,
        postgresql_where=sa.text("action = 'schedule.applied'"),
        sqlite_where=sa.text("action = 'schedule.applied'"),
    )
    for trigger in (ON_POSTGRESQL if on_postgresql else ON_SQLITE).values():
        op.execute(trigger)


def downgrade() -> None:
    """Drop it all."""
    op.drop_table("feature_flag_history")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION feature_flag_history_refuse()")
    for table in ("feature_flag_schedules", "feature_flags", "feature_flag_environments"):
        op.drop_table(table)
