"""Indexes for timelines and lists over all flags, and a table of idempotency keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Index the history by effective instant, and pending schedules over all flags; store responses."""
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "feature_flag_idempotency",
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=True),
        sa.Column("headers", JSONB() if on_postgresql else sa.JSON(), nullable=True),
        sa.Column("body", sa.Text, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name="pk_feature_flag_idempotency"),
    )
    op.create_index("ix_feature_flag_idempotency_created_at", "feature_flag_idempotency", ["created_at"])
    op.create_index(
        "ix_feature_flag_schedules_coming",
        "feature_flag_schedules",
        ["scheduled_at", "flag_id", "seq"],
        postgresql_where=sa.text("status = 'pending'"),
        sqlite_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_feature_flag_history_flag_id_effective_at", "feature_flag_history", ["flag_id", "effective_at", "id"]
    )
    op.create_index(
        "ix_feature_flag_history_environment_effective_at",
        "feature_flag_history",
        ["environment", "effective_at", "id"],
    )
    op.drop_index("ix_feature_flag_history_flag_id_id", "feature_flag_history")


def downgrade() -> None:
    """Drop the stored responses, and index the history as before."""
    op.create_index("ix_feature_flag_history_flag_id_id", "feature_flag_history", ["flag_id", "id"])
    op.drop_index("ix_feature_flag_history_environment_effective_at", "feature_flag_history")
    op.drop_index("ix_feature_flag_history_flag_id_effective_at", "feature_flag_history")
    op.drop_index("ix_feature_flag_schedules_coming", "feature_flag_schedules")
    op.drop_table("feature_flag_idempotency")
