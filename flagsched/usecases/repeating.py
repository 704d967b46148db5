"""Requests that have effect once: the key is taken, and the answer kept, in the transaction of the effect itself."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from flagsched.domain.idempotency import Answer, RequestKey
from flagsched.ports import Store, Writing

FORGOTTEN_AT_ONCE = 1000
Made = TypeVar("Made")


class Repeated(Exception):
    """The request was answered before, with `answer`; nothing is done again."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("the request was answered before")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Once(Generic[Made]):
    """A request that carries a key, and how what it makes is answered."""

    request: RequestKey
    answer: Callable[[Made], Answer]


def begin(work: Writing, once: Once[Made] | None) -> None:
    """Take the request's key, before anything that the clock judges; Repeated, KeyReused, KeyInProgress."""
    if once is None:
        return
    kept = work.answers.begin(once.request, work.now())
    if kept is not None:
        raise Repeated(kept)


def keep(work: Writing, once: Once[Made] | None, made: Made, now: datetime) -> None:
    """Keep the answer to the request."""
    if once is not None:
        work.answers.keep(once.request, once.answer(made), now)


def forget_answers(store: Store, limit: int = FORGOTTEN_AT_ONCE) -> int:
    """Forget answers that were kept for long enough, whether or not somebody sends another request; say how many."""
    with store.writing() as work:
        forgotten = work.answers.forget(work.now(), limit)
        work.commit()
    return forgotten
