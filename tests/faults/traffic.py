"""Callers of a web process who write, evaluate and look whether it is ready, without a pause."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event
from time import monotonic

import requests

from flagsched.domain.instants import rfc3339
from tests.faults.readers import as_admin

AHEAD = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, and when it was asked for and had come, by the monotonic clock."""

    asked_at: float
    at: float
    answer: requests.Response

    @property
    def error(self) -> tuple[int, str]:
        return self.answer.status_code, self.answer.json().get("error", "")


@dataclass(frozen=True, slots=True)
class Traffic:
    """All answers, by what was asked for."""

    writes: list[Answered] = field(default_factory=list)
    evaluations: list[Answered] = field(default_factory=list)
    readiness: list[Answered] = field(default_factory=list)

    @property
    def refused(self) -> list[Answered]:
        return [one for one in self.writes if one.answer.status_code != 201]


def within(answers: Sequence[Answered], begin: float, end: float = float("inf")) -> list[Answered]:
    """Those that were asked for and had come within these instants; there must be some."""
    found = [one for one in answers if begin <= one.asked_at and one.at <= end]
    assert found
    return found


@contextmanager
def traffic(address: str, keys: Sequence[str], seen: str) -> Iterator[Traffic]:
    """While the block runs: one writer for each of `keys`, who plans for it; evaluations of `seen`; and `/readyz`."""
    told, over = Traffic(), Event()

    def again_and_again(seconds: float, ask: Callable[[requests.Session, int], requests.Response]) -> list[Answered]:
        answers: list[Answered] = []
        with as_admin() as session:
            while not over.wait(seconds):
                asked_at = monotonic()
                answer = ask(session, len(answers))
                answers.append(Answered(asked_at, monotonic(), answer))
        return answers

    begin = datetime.now(UTC) + AHEAD

    def plans_for(key: str) -> Callable[[requests.Session, int], requests.Response]:
        def ask(session: requests.Session, number: int) -> requests.Response:
            change = {"scheduledAt": rfc3339(begin + timedelta(seconds=number)), "updates": {"enabled": True}}
            return session.post(f"{address}/api/admin/flags/{key}/schedule", json=change, timeout=10)

        return ask

    with ThreadPoolExecutor(len(keys) + 2) as callers:
        writing = [callers.submit(again_and_again, 0.05, plans_for(key)) for key in keys]
        evaluating = callers.submit(
            again_and_again, 0.03, lambda session, _: session.get(f"{address}/api/config/flags/{seen}", timeout=10)
        )
        asking = callers.submit(again_and_again, 0.1, lambda session, _: session.get(f"{address}/readyz", timeout=10))
        try:
            yield told
        finally:
            over.set()
    for one in writing:
        told.writes.extend(one.result())
    told.evaluations.extend(evaluating.result())
    told.readiness.extend(asking.result())
