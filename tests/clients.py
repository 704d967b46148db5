"""OpenFeature clients, and what they see of a change at its instant."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import NamedTuple
from uuid import uuid4

from mmh3 import hash as murmur3
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.provider import FeatureProvider

from flagsched.snapshots.refresher import REFRESH_SECONDS

MARGIN_SECONDS = 0.06
USERS = [f"user-{n}" for n in range(200)]


@contextmanager
def client_of(provider: FeatureProvider) -> Iterator[OpenFeatureClient]:
    """A client of the SDK that asks this provider; the SDK forgets both in the end."""
    domain = uuid4().hex
    api.set_provider_and_wait(provider, domain)
    yield api.get_client(domain)
    api.shutdown()
    api.clear_providers()


def user(targeting_key: str) -> EvaluationContext:
    return EvaluationContext(targeting_key)


def told(client: OpenFeatureClient, key: str, targeting_key: str | None = "ada") -> tuple[object, ...]:
    """Value, reason, variant and error code of a flag whose value in the application's code is False."""
    details = client.get_boolean_details(key, False, EvaluationContext(targeting_key))
    return details.value, details.reason, details.variant, details.error_code


def those_within(key: str, percentage: int, users: Sequence[str] = USERS) -> list[str]:
    """The users whom a percentage holds, as docs/evaluation.md says."""
    named = {one: f"{key}/{one}".encode("utf-8", "surrogatepass") for one in users}
    return [one for one in users if murmur3(named[one], 0, signed=False) % 10000 < percentage * 100]


def between_looks(*, seconds: int = 2) -> datetime:
    """An instant about so far ahead, to the millisecond, as they are kept.

    A process that begins to look now looks each half second: what it tells then must not come of a look by chance.
    """
    at = datetime.now(UTC) + timedelta(seconds=seconds + REFRESH_SECONDS / 2)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


class Answer(NamedTuple):
    """A value, and between which instants it was made."""

    asked_at: datetime
    answered_at: datetime
    value: bool


def watch(ask: Callable[[], bool], until: datetime) -> list[Answer]:
    """Ask again and again, every few milliseconds."""
    seen: list[Answer] = []
    while not seen or seen[-1].asked_at < until:
        asked_at = datetime.now(UTC)
        value = ask()
        seen.append(Answer(asked_at, datetime.now(UTC), value))
        sleep(0.004)
    return seen


def assert_turned_on_at(instant: datetime, seen: list[Answer]) -> None:
    """Off in each answer until then, the last a moment before; on in each from then on, but for the margin."""
    before = [answer for answer in seen if answer.answered_at < instant]
    late = [answer for answer in seen if (answer.asked_at - instant).total_seconds() >= MARGIN_SECONDS]
    first = next(answer for answer in seen if answer.value)

    assert not any(answer.value for answer in before)
    assert all(answer.value for answer in late)
    assert (instant - before[-1].asked_at).total_seconds() < MARGIN_SECONDS
    assert abs((first.answered_at - instant).total_seconds()) < MARGIN_SECONDS
    assert len(before) > 100
    assert len(late) > 10
