"""Requests that have effect once: the key is taken, and the answer kept, in the transaction of the effect itself."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from flagsched.domain.idempotency import IdempotencyKey, StoredResponse
from flagsched.ports.store import Store, Writing

MAX_FORGOTTEN = 1000
Made = TypeVar("Made")


class Replayed(Exception):
    """The request was answered before, with `answer`; nothing is done again."""

    def __init__(self, answer: StoredResponse) -> None:
        super().__init__("the request was answered before")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class IdempotentRequest(Generic[Made]):
    """A request that carries a key, and how what it makes is answered."""

    request: IdempotencyKey
    answer: Callable[[Made], StoredResponse]


def take_key(work: Writing, idempotent: IdempotentRequest[Made] | None) -> None:
    """Take the request's key, before anything that the clock judges; Repeated, KeyReused, KeyInProgress."""
    if idempotent is None:
        return
    kept = work.idempotency.take(idempotent.request, work.now())
    if kept is not None:
        raise Replayed(kept)


def keep_response(work: Writing, idempotent: IdempotentRequest[Made] | None, made: Made, now: datetime) -> None:
    """Keep the answer to the request."""
    if idempotent is not None:
        work.idempotency.keep(idempotent.request, idempotent.answer(made), now)


def forget_responses(store: Store, limit: int = MAX_FORGOTTEN) -> int:
    """Forget answers that were kept for long enough, whether or not somebody sends another request; say how many."""
    with store.writing() as work:
        forgotten = work.idempotency.forget(work.now(), limit)
        work.commit()
    return forgotten
