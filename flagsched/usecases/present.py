"""The database's clock, as far as it is known between two looks at it."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

RECENT_LOOKS = 10


class Present:
    """What the database's clock says now: never ahead of it, and behind it by the quickest of the recent looks at most.

    A look brings what the clock said, somewhere between asking and hearing of it. From then on time passes by
    `monotonic`, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self._ahead: deque[float] = deque(maxlen=RECENT_LOOKS)
        self._most_ahead = 0.0

    def note(self, asked_at: float, told: datetime, arrived_at: float) -> None:
        """A look, between two instants of `monotonic`."""
        said = told.timestamp()
        if self._ahead and self._most_ahead > said - asked_at:
            # It can't have been so late when it was told: the clock was set back.
            self._ahead.clear()
        self._ahead.append(said - arrived_at)
        self._most_ahead = max(self._ahead)

    def now(self) -> datetime:
        """What the clock says at least."""
        return datetime.fromtimestamp(self.monotonic() + self._most_ahead, UTC)

    def passes(self, instant: datetime | None) -> float:
        """When `now` comes to `instant`, by `monotonic`."""
        return float("inf") if instant is None else instant.timestamp() - self._most_ahead
