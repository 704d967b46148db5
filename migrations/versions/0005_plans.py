"""Plans, each bulk so far as one; and the local times of schedules."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BULKS = """
    INSERT INTO feature_flag_plans (id, title, description, version, created_by, created_at, updated_at)
    SELECT batch_id, '', '', 1, min(created_by), min(created_at), min(created_at)
    FROM feature_flag_schedules WHERE batch_id IS NOT NULL GROUP BY batch_id
"""


def upgrade() -> None:
    """Make the table, fill it, and add the columns."""
    op.create_table(
        "feature_flag_plans",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.String(100), nullable=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_feature_flag_plans"),
    )
    op.create_index(
        "uq_feature_flag_plans_name",
        "feature_flag_plans",
        ["name"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
        sqlite_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_feature_flag_plans_created_at", "feature_flag_plans", ["created_at", "id"])
    op.execute(BULKS)
    op.execute("ALTER TABLE feature_flag_schedules ADD COLUMN local_time VARCHAR(32)")
    # With its constraint, since SQLite adds none to a table that is there.
    op.execute(
        "ALTER TABLE feature_flag_schedules ADD COLUMN time_zone VARCHAR(64) "
        "CONSTRAINT ck_feature_flag_schedules_local_time CHECK ((local_time IS NULL) = (time_zone IS NULL))"
    )
    op.create_index(
        "ix_feature_flag_schedules_batch_id",
        "feature_flag_schedules",
        ["batch_id"],
        postgresql_where=sa.text("batch_id IS NOT NULL"),
        sqlite_where=sa.text("batch_id IS NOT NULL"),
    )


def downgrade() -> None:
    """Drop what was added."""
    op.drop_index("ix_feature_flag_schedules_batch_id", "feature_flag_schedules")
    op.drop_column("feature_flag_schedules", "time_zone")  # And its constraint.
    op.drop_column("feature_flag_schedules", "local_time")
    op.drop_table("feature_flag_plans")
