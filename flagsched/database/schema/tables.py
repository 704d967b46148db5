"""The tables with all of their constraints. The migrations make them."""

import sqlalchemy as sa

from flagsched.database.schema.types import Json, StoredUpdates, UTCDateTime
from flagsched.domain.schedules import Status

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# Ordered by code point on every database, whatever its locale.
Key = sa.String(100).with_variant(sa.String(100, collation="C"), "postgresql")

flags = sa.Table(
    "feature_flags",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("environment", sa.String(64), nullable=False),
    sa.Column("key", Key, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("rollout_percentage", sa.SmallInteger, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("last_seq", sa.BigInteger, nullable=False),
    sa.Column("next_due_at", UTCDateTime),
    sa.Column("changed_at", UTCDateTime, nullable=False),
    sa.Column("retry_at", UTCDateTime),
    sa.Column("last_error", sa.Text),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("archived_at", UTCDateTime),
    sa.Column("edited_version", sa.BigInteger, nullable=False, server_default="0"),
    sa.CheckConstraint("rollout_percentage BETWEEN 0 AND 100", name="rollout_percentage"),
    sa.CheckConstraint("version >= 1", name="version"),
    sa.CheckConstraint("archived_at IS NULL OR next_due_at IS NULL", name="archived_plans_nothing"),
)
sa.Index(
    "uq_feature_flags_environment_key",
    flags.c.environment,
    flags.c.key,
    unique=True,
    postgresql_where=flags.c.archived_at.is_(None),
    sqlite_where=flags.c.archived_at.is_(None),
)
sa.Index(
    "ix_feature_flags_next_due_at",
    flags.c.next_due_at,
    postgresql_where=flags.c.next_due_at.is_not(None),
    sqlite_where=flags.c.next_due_at.is_not(None),
)

schedules = sa.Table(
    "feature_flag_schedules",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("flag_id", sa.Uuid, sa.ForeignKey(flags.c.id), nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("batch_id", sa.Uuid),
    sa.Column("scheduled_at", UTCDateTime, nullable=False),
    sa.Column("updates", StoredUpdates, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("error_message", sa.Text),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("updated_at", UTCDateTime, nullable=False),
    sa.Column("applied_at", UTCDateTime),
    sa.Column("flag_version", sa.BigInteger),
    sa.Column("cancelled_by", sa.Text),
    sa.Column("cancelled_at", UTCDateTime),
    sa.Column("local_time", sa.String(32)),
    sa.Column("time_zone", sa.String(64)),
    sa.CheckConstraint("status IN ('pending', 'applied', 'cancelled', 'failed', 'skipped')", name="status"),
    sa.CheckConstraint("(status = 'applied') = (applied_at IS NOT NULL AND flag_version IS NOT NULL)", name="applied"),
    sa.CheckConstraint(
        "(status = 'cancelled') = (cancelled_at IS NOT NULL AND cancelled_by IS NOT NULL)", name="cancelled"
    ),
    sa.CheckConstraint("(status IN ('failed', 'skipped')) = (error_message IS NOT NULL)", name="failed"),
    sa.CheckConstraint("(local_time IS NULL) = (time_zone IS NULL)", name="local_time"),
    sa.UniqueConstraint("flag_id", "seq", name="uq_feature_flag_schedules_flag_id_seq"),
    sa.UniqueConstraint("flag_id", "flag_version", name="uq_feature_flag_schedules_flag_id_flag_version"),
)
is_pending = schedules.c.status == sa.literal_column(f"'{Status.PENDING}'")
sa.Index(
    "ix_feature_flag_schedules_pending",
    schedules.c.flag_id,
    schedules.c.scheduled_at,
    schedules.c.seq,
    postgresql_where=is_pending,
    sqlite_where=is_pending,
)
sa.Index(
    "ix_feature_flag_schedules_coming",
    schedules.c.scheduled_at,
    schedules.c.flag_id,
    schedules.c.seq,
    postgresql_where=is_pending,
    sqlite_where=is_pending,
)
sa.Index(
    "ix_feature_flag_schedules_flag_id_scheduled_at", *(schedules.c[c] for c in ("flag_id", "scheduled_at", "seq"))
)

is_in_plan = schedules.c.batch_id.is_not(None)
sa.Index(
    "ix_feature_flag_schedules_batch_id", schedules.c.batch_id, postgresql_where=is_in_plan, sqlite_where=is_in_plan
)

# What schedules with one batch_id have in common. No foreign key leads here: older releases know no plans.
plans = sa.Table(
    "feature_flag_plans",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.String(100)),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("updated_at", UTCDateTime, nullable=False),
    sa.Column("ended_at", UTCDateTime),
)
is_live_plan = plans.c.ended_at.is_(None)
sa.Index(
    "uq_feature_flag_plans_name", plans.c.name, unique=True, postgresql_where=is_live_plan, sqlite_where=is_live_plan
)
sa.Index("ix_feature_flag_plans_created_at", plans.c.created_at, plans.c.id)

# An append-only log: without foreign keys, and a trigger refuses UPDATE, DELETE and TRUNCATE.
history = sa.Table(
    "feature_flag_history",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=True), primary_key=True),
    sa.Column("flag_id", sa.Uuid, nullable=False),
    sa.Column("flag_key", sa.String(100), nullable=False),
    sa.Column("environment", sa.String(64), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("schedule_id", sa.Uuid),
    sa.Column("flag_version", sa.BigInteger, nullable=False),
    sa.Column("before", Json),
    sa.Column("after", Json),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text),
    sa.Column("effective_at", UTCDateTime, nullable=False),
    sa.Column("recorded_at", UTCDateTime, nullable=False),
    sa.Column("undoes", sa.BigInteger),
)
sa.Index("ix_feature_flag_history_flag_id_effective_at", history.c.flag_id, history.c.effective_at, history.c.id)
sa.Index(
    "ix_feature_flag_history_environment_effective_at", history.c.environment, history.c.effective_at, history.c.id
)
is_application = history.c.action == sa.literal_column("'schedule.applied'")
sa.Index(
    "uq_feature_flag_history_applied_schedule",
    history.c.schedule_id,
    unique=True,
    postgresql_where=is_application,
    sqlite_where=is_application,
)

# The responses to requests with an Idempotency-Key; status, headers and body are NULL until the request is answered.
idempotency = sa.Table(
    "feature_flag_idempotency",
    metadata,
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("request_hash", sa.String(64), nullable=False),
    sa.Column("status", sa.SmallInteger),
    sa.Column("headers", Json),
    sa.Column("body", sa.Text),
    sa.Column("created_at", UTCDateTime, nullable=False),
)
sa.Index("ix_feature_flag_idempotency_created_at", idempotency.c.created_at)

# User ids are ordered by code point on every database, like keys.
User = sa.String(256).with_variant(sa.String(256, collation="C"), "postgresql")
overrides = sa.Table(
    "feature_flag_overrides",
    metadata,
    sa.Column("flag_id", sa.Uuid, sa.ForeignKey(flags.c.id), primary_key=True),
    sa.Column("user_id", User, primary_key=True),
    sa.Column("override_type", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.CheckConstraint("override_type IN ('include', 'exclude')", name="override_type"),
)

environments = sa.Table(
    "feature_flag_environments",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
)

# Without a flag, a hold bears on all flags of its environment.
holds = sa.Table(
    "feature_flag_holds",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("environment", sa.String(64), nullable=False),
    sa.Column("flag_id", sa.Uuid, sa.ForeignKey(flags.c.id)),
    sa.Column("plan_id", sa.Uuid),
    sa.Column("starts_at", UTCDateTime, nullable=False),
    sa.Column("ends_at", UTCDateTime),
    sa.Column("at_end", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("refuses_edits", sa.Boolean, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("updated_at", UTCDateTime, nullable=False),
    sa.Column("released_by", sa.Text),
    sa.Column("released_at", UTCDateTime),
    sa.CheckConstraint("at_end IN ('catchUp', 'skip')", name="at_end"),
    sa.CheckConstraint("ends_at >= starts_at", name="ends_at"),
    sa.CheckConstraint("(released_at IS NULL) = (released_by IS NULL)", name="released"),
)
sa.Index("ix_feature_flag_holds_environment", holds.c.environment, holds.c.flag_id, holds.c.ends_at)
sa.Index("ix_feature_flag_holds_flag_id", holds.c.flag_id, holds.c.ends_at)
is_of_plan = holds.c.plan_id.is_not(None)
sa.Index("ix_feature_flag_holds_plan_id", holds.c.plan_id, postgresql_where=is_of_plan, sqlite_where=is_of_plan)
