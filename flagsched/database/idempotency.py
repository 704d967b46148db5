"""Kept answers in the database: the key's row is the lock that equal requests wait for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from flagsched.database.connections.engine import insert_for
from flagsched.database.errors import translate
from flagsched.database.schema.tables import idempotency
from flagsched.domain.errors import FlagBusy, KeyInProgress, KeyReused
from flagsched.domain.idempotency import KEEP_FOR, IdempotencyKey, StoredResponse

MAX_PURGED = 100


@dataclass(frozen=True, slots=True)
class Idempotency:
    """Implements `ports.idempotency`."""

    connection: sa.Connection

    def take(self, key: IdempotencyKey, now: datetime) -> StoredResponse | None:
        if self._insert(key, now):
            return None
        kept = self.connection.execute(sa.select(idempotency).where(_of(key))).one()
        if kept.request_hash != key.request_hash:
            raise KeyReused(key.key)
        return StoredResponse(kept.status, kept.headers, kept.body)

    def keep(self, key: IdempotencyKey, answer: StoredResponse, now: datetime) -> None:
        kept = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
        self.connection.execute(sa.update(idempotency).where(_of(key)).values(kept))
        # Late in the transaction, since a request for one of these rows must wait for its end.
        self.forget(now, MAX_PURGED)

    def give_back(self, key: IdempotencyKey) -> None:
        self.connection.execute(sa.delete(idempotency).where(_of(key)))

    def _insert(self, key: IdempotencyKey, now: datetime) -> bool:
        row: dict[str, Any] = {"request_hash": key.request_hash, "created_at": now}
        row |= {"status": None, "headers": None, "body": None}
        taken = (
            insert_for(self.connection.dialect.name, idempotency)
            .values(principal=key.principal, key=key.key, **row)
            # What has been kept for long enough gives way.
            .on_conflict_do_update(
                index_elements=["principal", "key"], set_=row, where=idempotency.c.created_at <= now - KEEP_FOR
            )
        )
        try:
            return self.connection.execute(taken).rowcount == 1
        except sa.exc.DBAPIError as error:
            if isinstance(translate(error), FlagBusy):
                raise KeyInProgress(key.key) from error
            raise

    def forget(self, now: datetime, limit: int) -> int:
        old = (
            sa.select(idempotency.c.principal, idempotency.c.key)
            .where(idempotency.c.created_at <= now - KEEP_FOR)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return self.connection.execute(
            sa.delete(idempotency).where(
                sa.tuple_(idempotency.c.principal, idempotency.c.key).in_(old.subquery().select())
            )
        ).rowcount


def _of(key: IdempotencyKey) -> sa.ColumnElement[bool]:
    return sa.and_(idempotency.c.principal == key.principal, idempotency.c.key == key.key)
