"""Idempotency keys in storage."""

from datetime import datetime
from typing import Protocol

from flagsched.domain.idempotency import IdempotencyKey, StoredResponse


class IdempotencyKeys(Protocol):
    """The answers to requests that are to have effect once, however often they come."""

    def take(self, key: IdempotencyKey, now: datetime) -> StoredResponse | None:
        """Take the key for this request, or give the answer that is kept under it.

        Waits while another transaction holds the key. Raises KeyReused, KeyInProgress.
        """

    def keep(self, key: IdempotencyKey, response: StoredResponse, now: datetime) -> None:
        """Keep the answer for LIFE, and forget some that were kept for as long."""

    def give_back(self, key: IdempotencyKey) -> None:
        """Let go of a key that was taken: its request is refused."""

    def forget(self, now: datetime, limit: int) -> int:
        """Forget up to `limit` answers that were kept for LIFE, and say how many it were."""
