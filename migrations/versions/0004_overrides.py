"""Overrides: for some users a flag is on or off, whatever its percentage."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    collation = "C" if op.get_bind().dialect.name == "postgresql" else None
    op.create_table(
        "feature_flag_overrides",
        sa.Column("flag_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.String(256, collation=collation), nullable=False),
        sa.Column("override_type", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("flag_id", "user_id", name="pk_feature_flag_overrides"),
        sa.ForeignKeyConstraint(["flag_id"], ["feature_flags.id"], name="fk_feature_flag_overrides_flag_id"),
        sa.CheckConstraint(
            "override_type IN ('include', 'exclude')", name=op.f("ck_feature_flag_overrides_override_type")
        ),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("feature_flag_overrides")
