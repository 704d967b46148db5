"""Idempotent requests: the key is taken, and the response stored, in the transaction of the effect itself."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from flagsched.domain.idempotency import IdempotencyKey, StoredResponse
from flagsched.ports.store import Store, Writing

MAX_FORGOTTEN = 1000
Result = TypeVar("Result")


class Replayed(Exception):
    """The request was answered before, with `response`; nothing is done again."""

    def __init__(self, response: StoredResponse) -> None:
        super().__init__("the request was answered before")
        self.response = response


@dataclass(frozen=True, slots=True)
class IdempotentRequest(Generic[Result]):
    """A request that carries an idempotency key, and how its result becomes a response."""

    key: IdempotencyKey
    response: Callable[[Result], StoredResponse]


def take_key(work: Writing, idempotent: IdempotentRequest[Result] | None) -> None:
    """Take the request's key, before anything that the clock judges. Raises Replayed, KeyReused, KeyInProgress."""
    if idempotent is None:
        return
    stored = work.idempotency.take(idempotent.key, work.now())
    if stored is not None:
        raise Replayed(stored)


def keep_response(work: Writing, idempotent: IdempotentRequest[Result] | None, result: Result, now: datetime) -> None:
    """Store the response to the request."""
    if idempotent is not None:
        work.idempotency.keep(idempotent.key, idempotent.response(result), now)


def give_back_key(work: Writing, idempotent: IdempotentRequest[Result] | None) -> None:
    """Give the key of a request up again that is refused, and whose transaction is committed all the same."""
    if idempotent is not None:
        work.idempotency.give_back(idempotent.key)


def forget_responses(store: Store, limit: int = MAX_FORGOTTEN) -> int:
    """Delete up to `limit` responses that were kept for KEEP_FOR, and return how many."""
    with store.writing() as work:
        deleted = work.idempotency.forget(work.now(), limit)
        work.commit()
    return deleted


def use_once(idempotent: IdempotentRequest[None], *, store: Store) -> None:
    """Take a key for good, as nothing else; Replayed if that was done before, KeyReused, KeyInProgress."""
    with store.writing() as work:
        take_key(work, idempotent)
        keep_response(work, idempotent, None, work.now())
        work.commit()
