"""What the doctor asks of everything that is stored."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from flagsched.database.flags import LIVE
from flagsched.database.holds import Holds
from flagsched.database.invariants import INVARIANTS, Query
from flagsched.database.schema.tables import environments, flags, history, is_pending, schedules
from flagsched.database.storage import measure
from flagsched.domain.agenda import Agenda
from flagsched.domain.holds import Hold
from flagsched.domain.local_times import LocalTime, text_of
from flagsched.domain.schedules import PendingSchedule
from flagsched.ports.doctor import Overdue, Stored
from flagsched.ports.pages import Page

MAX_EXAMPLES = 10
DUE = "next_due_at is what the agenda says"
LOCAL = "each pending schedule is at its local time, by the time zones of this release"
# As text, since a row may hold any.
AGENDAS = (
    sa.select(
        (flags.c.environment + "/" + flags.c.key).label("name"),
        flags.c.id,
        flags.c.environment,
        sa.cast(flags.c.next_due_at, sa.Text).label("next_due_at"),
        schedules.c.seq,
        sa.cast(schedules.c.scheduled_at, sa.Text).label("scheduled_at"),
        schedules.c.updates,
    )
    .join_from(flags, schedules, sa.and_(schedules.c.flag_id == flags.c.id, is_pending), isouter=True)
    .where(LIVE)
    .order_by(flags.c.id)
)


LOCAL_TIMES = sa.select(
    schedules.c.id,
    sa.cast(schedules.c.scheduled_at, sa.Text).label("scheduled_at"),
    schedules.c.local_time,
    schedules.c.time_zone,
).where(is_pending, schedules.c.time_zone.is_not(None))


@dataclass(frozen=True, slots=True)
class Doctor:
    """Implements `ports.doctor`."""

    connection: sa.Connection

    def examine(self) -> Mapping[str, Page[str]]:
        of_domain = {DUE: self._due_at_another_instant(), LOCAL: self._at_another_local_time()}
        return {name: self._first(query) for name, query in INVARIANTS.items()} | of_domain

    def _due_at_another_instant(self) -> Page[str]:
        """Live flags that are not due when their agenda says, which the domain computes, or which can't be read."""
        holds: dict[object, list[Hold]] = defaultdict(list)
        for hold in Holds(self.connection).all():
            holds[hold.flag_id or hold.environment].append(hold)
        flags_ = groupby(
            self.connection.execute(AGENDAS), key=lambda row: (row.name, row.next_due_at, row.id, row.environment)
        )
        wrong = [
            name
            for (name, next_due_at, id_, environment), agenda in flags_
            if not _is_due_at(next_due_at, agenda, (*holds[id_], *holds[environment]))
        ]
        return Page(wrong[:MAX_EXAMPLES], more=len(wrong) > MAX_EXAMPLES)

    def _at_another_local_time(self) -> Page[str]:
        """Pending schedules whose local time is at another instant than when they were planned."""
        wrong = [
            f"{row.id}: {row.scheduled_at} is not {row.local_time} in {row.time_zone}"
            for row in self.connection.execute(LOCAL_TIMES)
            if not _is_at_local_time(row)
        ]
        return Page(wrong[:MAX_EXAMPLES], more=len(wrong) > MAX_EXAMPLES)

    def overdue(self, before: datetime) -> Page[Overdue]:
        waiting = (
            sa.select(flags.c.environment, flags.c.key, flags.c.next_due_at, flags.c.last_error)
            .where(LIVE, sa.or_(flags.c.next_due_at <= before, flags.c.last_error.is_not(None)))
            .order_by(flags.c.next_due_at)
            .limit(MAX_EXAMPLES + 1)
        )
        rows = self.connection.execute(waiting).all()
        found = [
            Overdue(f"{row.environment}/{row.key}", row.next_due_at, row.last_error) for row in rows[:MAX_EXAMPLES]
        ]
        return Page(found, more=len(rows) > MAX_EXAMPLES)

    def last_recorded_at(self) -> datetime | None:
        last = sa.select(history.c.recorded_at).order_by(history.c.id.desc()).limit(1)
        recorded_at: datetime | None = self.connection.execute(last).scalar_one_or_none()
        return recorded_at

    def environments(self) -> list[str]:
        named = sa.union(sa.select(environments.c.name), sa.select(flags.c.environment)).order_by("name")
        return list(self.connection.execute(named).scalars())

    def stored(self, forgotten_before: datetime) -> Stored:
        return measure(self.connection, forgotten_before)

    def _first(self, query: Query) -> Page[str]:
        found = [str(offender) for offender in self.connection.execute(query.limit(MAX_EXAMPLES + 1)).scalars()]
        return Page(found[:MAX_EXAMPLES], more=len(found) > MAX_EXAMPLES)


def _is_due_at(next_due_at: str | None, agenda: Iterable[sa.Row[Any]], holds: Iterable[Hold]) -> bool:
    try:
        pending = [PendingSchedule(row.seq, _instant(row.scheduled_at), row.updates) for row in agenda if row.seq]
        return Agenda.of(pending, holds=holds).next_due_at == (next_due_at and _instant(next_due_at))
    except ValueError:
        return False


def _is_at_local_time(row: sa.Row[Any]) -> bool:
    try:
        return bool(text_of(LocalTime.of(_instant(row.scheduled_at), row.time_zone)) == row.local_time)
    except ValueError:
        return False


def _instant(text: str) -> datetime:
    """An instant as PostgreSQL (with its offset) or SQLite (in UTC) writes it; ValueError for anything else."""
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)
