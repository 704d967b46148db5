"""What must hold of everything stored, as queries that find where it does not."""

from typing import Any

import sqlalchemy as sa

from flagsched.database.schema.tables import (
    environments,
    flags,
    history,
    holds,
    is_pending,
    overrides,
    plans,
    schedules,
)
from flagsched.database.schema.types import Json
from flagsched.domain.history import HOLD_ACTIONS, NO_FLAG, STATE_CHANGES, Action
from flagsched.domain.overrides import NAMES, PLANNED
from flagsched.domain.schedules import Status
from flagsched.domain.updates import FIELDS

ENDINGS = {
    Status.APPLIED: Action.SCHEDULE_APPLIED,
    Status.CANCELLED: Action.SCHEDULE_CANCELLED,
    Status.FAILED: Action.SCHEDULE_FAILED,
    Status.SKIPPED: Action.SCHEDULE_SKIPPED,
}
OVERRIDE = "override"
OVERRIDE_COLUMNS = ("override_type", "reason", "created_by", "created_at")
TRUE = ("true", "1")  # As PostgreSQL and SQLite write it.
Query = sa.Select[Any] | sa.CompoundSelect[Any]


def _named() -> sa.ColumnElement[str]:
    return flags.c.environment + "/" + flags.c.key


def _of_schedule() -> sa.ColumnElement[str]:
    return sa.cast(schedules.c.id, sa.Text)


def _counted(actions: tuple[Action, ...]) -> sa.Subquery:
    """How many entries of these actions each schedule has, and the least of them."""
    return (
        sa.select(
            history.c.schedule_id,
            sa.func.count().label("entries"),
            sa.func.min(history.c.action).label("action"),
            sa.func.min(history.c.flag_version).label("flag_version"),
        )
        .where(history.c.action.in_(actions), history.c.schedule_id.is_not(None))
        .group_by(history.c.schedule_id)
        .subquery()
    )


def _entries_of_no_schedule(recorded: sa.Subquery) -> sa.Select[Any]:
    """Schedules that only the history knows."""
    known = sa.select(schedules.c.id).where(schedules.c.id == recorded.c.schedule_id).exists()
    return sa.select(sa.cast(recorded.c.schedule_id, sa.Text)).where(~known)


def _created_once() -> Query:
    recorded = _counted((Action.SCHEDULE_CREATED,))
    without = (
        sa.select(_of_schedule())
        .outerjoin(recorded, recorded.c.schedule_id == schedules.c.id)
        .where(sa.func.coalesce(recorded.c.entries, 0) != 1)
    )
    return sa.union_all(without, _entries_of_no_schedule(recorded))


def _ended_once() -> Query:
    recorded = _counted(tuple(ENDINGS.values()))
    expected = sa.case(*((schedules.c.status == s.value, a.value) for s, a in ENDINGS.items()), else_=None)
    otherwise = sa.or_(
        recorded.c.action.is_distinct_from(expected),
        recorded.c.entries > 1,
        sa.and_(schedules.c.status == Status.APPLIED.value, recorded.c.flag_version != schedules.c.flag_version),
    )
    without = sa.select(_of_schedule()).outerjoin(recorded, recorded.c.schedule_id == schedules.c.id).where(otherwise)
    return sa.union_all(without, _entries_of_no_schedule(recorded))


def _versions_without_gaps() -> Query:
    versions = history.c.flag_version
    recorded = (
        sa.select(
            history.c.flag_id,
            sa.func.count().label("entries"),
            sa.func.count(versions.distinct()).label("versions"),
            sa.func.min(versions).label("first"),
            sa.func.max(versions).label("last"),
        )
        .where(history.c.action.in_(STATE_CHANGES))
        .group_by(history.c.flag_id)
        .subquery()
    )
    whole = sa.and_(
        recorded.c.first == 1,
        recorded.c.entries == flags.c.version,
        recorded.c.versions == flags.c.version,
        recorded.c.last == flags.c.version,
    )
    return sa.select(_named()).outerjoin(recorded, recorded.c.flag_id == flags.c.id).where(whole.is_not(True))


def _applied_in_order() -> Query:
    order: dict[str, Any] = {
        "partition_by": schedules.c.flag_id,
        "order_by": (schedules.c.scheduled_at, schedules.c.seq),
    }
    applied = (
        sa.select(
            _of_schedule().label("id"),
            schedules.c.flag_version,
            sa.func.lag(schedules.c.flag_version).over(**order).label("before"),
        )
        .where(schedules.c.status == Status.APPLIED.value)
        .subquery()
    )
    return sa.select(applied.c.id).where(applied.c.flag_version <= applied.c.before)


def _text(json: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[str]:
    """A value of a JSON object as text, which there is for any value; NULL if there is none."""
    return sa.func.nullif(sa.cast(json[name], sa.Text), "null")


def _settings(entry: sa.ColumnElement[Any]) -> list[sa.ColumnElement[str]]:
    return [_text(entry, name) for name in FIELDS]


def _final_state() -> Query:
    last = sa.and_(
        history.c.flag_id == flags.c.id,
        history.c.flag_version == flags.c.version,
        history.c.action.in_(STATE_CHANGES),
    )
    enabled, percentage = _settings(history.c.after)
    recorded = sa.and_(
        enabled.in_(TRUE) == flags.c.enabled,
        percentage == sa.cast(flags.c.rollout_percentage, sa.Text),
        history.c.effective_at == flags.c.changed_at,
    )
    return sa.select(_named()).join(history, last).where(recorded.is_not(True))


def _each_from_the_one_before() -> Query:
    before: dict[str, Any] = {"partition_by": history.c.flag_id, "order_by": history.c.flag_version}
    follows = [
        now == sa.func.lag(then).over(**before)
        for now, then in zip(_settings(history.c.before), _settings(history.c.after), strict=True)
    ]
    chain = (
        sa.select(
            _entry_named().label("named"),
            history.c.flag_version,
            sa.and_(*follows).label("follows"),
            sa.func.lag(history.c.effective_at).over(**before).label("effective_before"),
            history.c.effective_at,
        )
        .where(history.c.action.in_(STATE_CHANGES))
        .subquery()
    )
    return sa.select(chain.c.named).where(
        chain.c.flag_version > 1,
        sa.or_(chain.c.follows.is_not(True), chain.c.effective_at < chain.c.effective_before),
    )


def _applied_as_planned() -> Query:
    updates = sa.type_coerce(schedules.c.updates, Json)
    came = [
        _text(history.c.after, name) == sa.func.coalesce(_text(updates, name), _text(history.c.before, name))
        for name in FIELDS
    ]
    came.append(_text(history.c.after, OVERRIDE).is_not_distinct_from(_text(updates, OVERRIDE)))
    recorded = sa.and_(history.c.schedule_id == schedules.c.id, history.c.action == Action.SCHEDULE_APPLIED.value)
    return sa.select(_of_schedule()).join(history, recorded).where(sa.and_(*came).is_not(True))


def _entries_of_no_flag() -> Query:
    known = sa.select(flags.c.id).where(flags.c.id == history.c.flag_id).exists()
    of_environment = sa.and_(history.c.flag_id == NO_FLAG, history.c.action.in_(HOLD_ACTIONS))
    return sa.select(_entry_named()).where(~known, ~of_environment)


def _numbered_and_born() -> Query:
    last = sa.select(sa.func.max(schedules.c.seq)).where(schedules.c.flag_id == flags.c.id).scalar_subquery()
    born = sa.and_(history.c.flag_id == flags.c.id, history.c.action == Action.FLAG_CREATED.value)
    first = sa.select(sa.func.min(history.c.effective_at)).where(born).scalar_subquery()
    return sa.select(_named()).where(sa.or_(last > flags.c.last_seq, first.is_distinct_from(flags.c.created_at)))


def _entry_named() -> sa.ColumnElement[str]:
    return history.c.environment + "/" + history.c.flag_key + " version " + sa.cast(history.c.flag_version, sa.Text)


def _plans_known() -> Query:
    known = sa.select(plans.c.id).where(plans.c.id == schedules.c.batch_id).exists()
    unknown = sa.select(schedules.c.batch_id).where(schedules.c.batch_id.is_not(None), ~known).distinct()
    return sa.select(sa.cast(unknown.subquery().c.batch_id, sa.Text))


def _archived_plan_nothing() -> Query:
    return sa.select(_of_schedule()).join(flags).where(is_pending, flags.c.archived_at.is_not(None))


def _revisions_reached() -> Query:
    of_environment = environments.c.name == flags.c.environment
    reached = environments.c.revision >= flags.c.revision
    return sa.select(_named()).outerjoin(environments, of_environment).where(reached.is_not(True))


def _last_override_entries() -> sa.Subquery:
    """The last entry about each user of each flag; without an override_type where the override was removed."""
    after, before = history.c.after, history.c.before
    planned_user, planned = after[(OVERRIDE, "userId")].as_string(), after[(OVERRIDE, "set")].as_string()
    by_schedule = history.c.action == Action.SCHEDULE_APPLIED.value
    user = sa.func.coalesce(after["userId"].as_string(), before["userId"].as_string(), planned_user)
    newest_first = sa.func.row_number().over(partition_by=(history.c.flag_id, user), order_by=history.c.id.desc())
    recorded = sa.select(
        history.c.flag_id,
        user.label("user_id"),
        (history.c.environment + "/" + history.c.flag_key + " user " + user).label("named"),
        sa.case((by_schedule, sa.func.nullif(planned, NAMES[None])), else_=after[OVERRIDE].as_string()).label(
            "override_type"
        ),
        sa.case((by_schedule, PLANNED), else_=after["reason"].as_string()).label("reason"),
        sa.func.coalesce(schedules.c.created_by, history.c.actor).label("created_by"),
        history.c.effective_at.label("created_at"),
        newest_first.label("place"),
    ).outerjoin_from(history, schedules, history.c.schedule_id == schedules.c.id)
    of_overrides = history.c.action.in_((Action.OVERRIDE_SET, Action.OVERRIDE_REMOVED, Action.SCHEDULE_APPLIED))
    recorded = recorded.where(of_overrides, user.is_not(None))
    return sa.select(recorded.subquery()).where(sa.column("place") == 1).subquery()


def _overrides_as_recorded() -> Query:
    recorded = _last_override_entries()
    of_user = sa.and_(*(recorded.c[name] == overrides.c[name] for name in ("flag_id", "user_id")))
    as_recorded = sa.and_(*(recorded.c[name] == overrides.c[name] for name in OVERRIDE_COLUMNS))
    stored = (
        sa.select(_named() + " user " + overrides.c.user_id).join_from(overrides, flags).outerjoin(recorded, of_user)
    )
    lost = sa.select(recorded.c.named).where(recorded.c.override_type.is_not(None), ~sa.exists().where(of_user))
    return sa.union_all(stored.where(as_recorded.is_not(True)), lost)


def _nothing_inside_a_hold() -> Query:
    """A schedule at the very millisecond in which a hold was placed may have come before it."""
    bears = sa.or_(
        holds.c.flag_id == history.c.flag_id,
        sa.and_(holds.c.flag_id.is_(None), holds.c.environment == history.c.environment),
    )
    inside = sa.and_(
        history.c.effective_at > holds.c.starts_at,
        sa.or_(holds.c.ends_at.is_(None), history.c.effective_at < holds.c.ends_at),
    )
    applied = history.c.action == Action.SCHEDULE_APPLIED.value
    return sa.select(_entry_named()).join_from(history, holds, sa.and_(bears, inside)).where(applied)


def _holds_as_recorded() -> Query:
    newest_first = sa.func.row_number().over(
        partition_by=history.c.after["holdId"].as_string(), order_by=history.c.id.desc()
    )
    entries = sa.select(
        _hexadecimal(history.c.after["holdId"].as_string()).label("id"),
        history.c.after["then"].as_string().label("at_end"),
        history.c.after["reason"].as_string().label("reason"),
        (history.c.action == Action.HOLD_RELEASED.value).label("released"),
        newest_first.label("place"),
    ).where(history.c.action.in_(HOLD_ACTIONS))
    last = sa.select(entries.subquery()).where(sa.column("place") == 1).subquery()
    id_ = _hexadecimal(sa.cast(holds.c.id, sa.Text))
    as_recorded = sa.and_(
        last.c.at_end == holds.c.at_end,
        last.c.reason == holds.c.reason,
        last.c.released == holds.c.released_at.is_not(None),
    )
    stored = sa.select(id_).select_from(holds).outerjoin(last, last.c.id == id_).where(as_recorded.is_not(True))
    return sa.union_all(stored, sa.select(last.c.id).where(~sa.exists().where(id_ == last.c.id)))


def _hexadecimal(id_: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """SQLite has ids without hyphens."""
    return sa.func.replace(id_, "-", "")


INVARIANTS = {
    "each schedule was created by one entry of the history": _created_once(),
    "each ended schedule was ended by one entry, in the version that it made": _ended_once(),
    "the versions of each flag have no gaps": _versions_without_gaps(),
    "schedules were applied in order": _applied_in_order(),
    "each change begins where the one before it ended": _each_from_the_one_before(),
    "each flag is what its last change made it": _final_state(),
    "each schedule of a plan has its plan": _plans_known(),
    "what was applied is what was planned": _applied_as_planned(),
    "each entry of the history tells of a flag": _entries_of_no_flag(),
    "each flag knows its birth and its last schedule": _numbered_and_born(),
    "archived flags have no agenda": _archived_plan_nothing(),
    "no flag is ahead of its environment's revision": _revisions_reached(),
    "each override is what its last change made it": _overrides_as_recorded(),
    "no schedule took effect inside a hold": _nothing_inside_a_hold(),
    "each hold is what its last change made it": _holds_as_recorded(),
}
