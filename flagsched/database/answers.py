"""Kept answers in the database: the key's row is the lock that equal requests wait for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from flagsched.database.engine import insert_for
from flagsched.database.errors import translate
from flagsched.database.tables import answers
from flagsched.domain.errors import FlagBusy, KeyInProgress, KeyReused
from flagsched.domain.idempotency import LIFE, Answer, RequestKey

PURGED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Answers:
    """Implements `ports.AnswerKeeper`."""

    connection: sa.Connection

    def begin(self, request: RequestKey, now: datetime) -> Answer | None:
        """See `ports.AnswerKeeper`."""
        if self._take(request, now):
            return None
        kept = self.connection.execute(sa.select(answers).where(_of(request))).one()
        if kept.request_hash != request.request_hash:
            raise KeyReused(request.key)
        return Answer(kept.status, kept.headers, kept.body)

    def keep(self, request: RequestKey, answer: Answer, now: datetime) -> None:
        """See `ports.AnswerKeeper`."""
        kept = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
        self.connection.execute(sa.update(answers).where(_of(request)).values(kept))
        # Late in the transaction, since whoever wants one of these rows must wait for its end.
        self.forget(now, PURGED_AT_ONCE)

    def _take(self, request: RequestKey, now: datetime) -> bool:
        row: dict[str, Any] = {"request_hash": request.request_hash, "created_at": now}
        row |= {"status": None, "headers": None, "body": None}
        taken = (
            insert_for(self.connection.dialect.name, answers)
            .values(principal=request.principal, key=request.key, **row)
            # What has been kept for long enough gives way.
            .on_conflict_do_update(
                index_elements=["principal", "key"], set_=row, where=answers.c.created_at <= now - LIFE
            )
        )
        try:
            return self.connection.execute(taken).rowcount == 1
        except sa.exc.DBAPIError as error:
            if isinstance(translate(error), FlagBusy):
                raise KeyInProgress(request.key) from error
            raise

    def forget(self, now: datetime, limit: int) -> int:
        """See `ports.AnswerKeeper`."""
        old = (
            sa.select(answers.c.principal, answers.c.key)
            .where(answers.c.created_at <= now - LIFE)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return self.connection.execute(
            sa.delete(answers).where(sa.tuple_(answers.c.principal, answers.c.key).in_(old.subquery().select()))
        ).rowcount


def _of(request: RequestKey) -> sa.ColumnElement[bool]:
    return sa.and_(answers.c.principal == request.principal, answers.c.key == request.key)
