"""What the doctor asks of everything that is stored."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from flagsched.database.flags import LIVE
from flagsched.database.invariants import INVARIANTS, Query
from flagsched.database.schema.tables import environments, flags, history, is_pending, schedules
from flagsched.database.storage import measure
from flagsched.domain.agenda import Agenda
from flagsched.domain.schedules import PendingSchedule
from flagsched.ports.doctor import Overdue, Stored
from flagsched.ports.pages import Page

MAX_EXAMPLES = 10
DUE = "next_due_at is what the agenda says"
AGENDAS = sa.select(*(schedules.c[name] for name in ("flag_id", "seq", "scheduled_at", "updates"))).where(is_pending)


@dataclass(frozen=True, slots=True)
class Doctor:
    """Implements `ports`."""

    connection: sa.Connection

    def examine(self) -> Mapping[str, Page[str]]:
        return {name: self._first(query) for name, query in INVARIANTS.items()} | {DUE: self._due_at_another_instant()}

    def _due_at_another_instant(self) -> Page[str]:
        """Live flags that are not due when their agenda says, which the domain computes."""
        agendas: dict[UUID, list[PendingSchedule]] = defaultdict(list)
        for flag_id, *schedule in self.connection.execute(AGENDAS):
            agendas[flag_id].append(PendingSchedule(*schedule))
        live = sa.select(flags.c.id, flags.c.environment + "/" + flags.c.key, flags.c.next_due_at).where(LIVE)
        wrong = [
            name
            for flag_id, name, next_due_at in self.connection.execute(live)
            if next_due_at != Agenda.of(agendas[flag_id]).next_due_at
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
