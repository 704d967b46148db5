"""Holds; skipped schedules; in which version a flag was edited last; which entry of the history an entry undoes."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

SCHEDULES = "feature_flag_schedules"
CHECKS = {
    "status": (
        "status IN ('pending', 'applied', 'cancelled', 'failed')",
        "status IN ('pending', 'applied', 'cancelled', 'failed', 'skipped')",
    ),
    "failed": (
        "(status = 'failed') = (error_message IS NOT NULL)",
        "(status IN ('failed', 'skipped')) = (error_message IS NOT NULL)",
    ),
}
"""Constraints of the schedules as they were, and as they are."""


def upgrade() -> None:
    """Make the table, and add the columns and the status."""
    op.create_table(
        "feature_flag_holds",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("environment", sa.String(64), nullable=False),
        sa.Column("flag_id", sa.Uuid, nullable=True),
        sa.Column("plan_id", sa.Uuid, nullable=True),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("at_end", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("refuses_edits", sa.Boolean, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_by", sa.Text, nullable=True),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_feature_flag_holds"),
        sa.ForeignKeyConstraint(["flag_id"], ["feature_flags.id"], name="fk_feature_flag_holds_flag_id"),
        sa.CheckConstraint("at_end IN ('catchUp', 'skip')", name=op.f("ck_feature_flag_holds_at_end")),
        sa.CheckConstraint("ends_at >= starts_at", name=op.f("ck_feature_flag_holds_ends_at")),
        sa.CheckConstraint(
            "(released_at IS NULL) = (released_by IS NULL)", name=op.f("ck_feature_flag_holds_released")
        ),
    )
    op.create_index("ix_feature_flag_holds_environment", "feature_flag_holds", ["environment", "flag_id", "ends_at"])
    op.create_index("ix_feature_flag_holds_flag_id", "feature_flag_holds", ["flag_id", "ends_at"])
    op.create_index(
        "ix_feature_flag_holds_plan_id",
        "feature_flag_holds",
        ["plan_id"],
        postgresql_where=sa.text("plan_id IS NOT NULL"),
        sqlite_where=sa.text("plan_id IS NOT NULL"),
    )
    op.add_column("feature_flags", sa.Column("edited_version", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("feature_flag_history", sa.Column("undoes", sa.BigInteger, nullable=True))
    _check({name: after for name, (_, after) in CHECKS.items()})


def downgrade() -> None:
    """Drop what was added; what was skipped has failed, for a release that knows no other word."""
    op.execute("UPDATE feature_flag_schedules SET status = 'failed' WHERE status = 'skipped'")
    _check({name: before for name, (before, _) in CHECKS.items()})
    op.drop_column("feature_flag_history", "undoes")
    op.drop_column("feature_flags", "edited_version")
    op.drop_table("feature_flag_holds")


def _check(constraints: dict[str, str]) -> None:
    """Have these constraints in the place of those of the same names."""
    if op.get_bind().dialect.name == "postgresql":
        for name, condition in constraints.items():
            constraint = f"ck_{SCHEDULES}_{name}"
            op.execute(
                f"ALTER TABLE {SCHEDULES} DROP CONSTRAINT {constraint}, ADD CONSTRAINT {constraint} CHECK ({condition})"
            )
    else:
        _copy_with(constraints)


def _copy_with(constraints: dict[str, str]) -> None:
    """SQLite changes no constraint of a table that is there: copy it into another."""
    stored = sa.text("SELECT type, sql FROM sqlite_master WHERE tbl_name = :name AND sql IS NOT NULL ORDER BY rowid")
    objects = [(row.type, row.sql) for row in op.get_bind().execute(stored, {"name": SCHEDULES})]
    (table,) = [sql for kind, sql in objects if kind == "table"]
    for name, condition in constraints.items():
        for other in CHECKS[name]:
            table = table.replace(f"CHECK ({other})", f"CHECK ({condition})")
    op.execute(table.replace(SCHEDULES, f"{SCHEDULES}_new", 1))
    op.execute("INSERT INTO feature_flag_schedules_new SELECT * FROM feature_flag_schedules")
    op.execute(f"DROP TABLE {SCHEDULES}")
    op.execute(f"ALTER TABLE {SCHEDULES}_new RENAME TO {SCHEDULES}")
    for sql in [sql for kind, sql in objects if kind != "table"]:
        op.execute(sql)
