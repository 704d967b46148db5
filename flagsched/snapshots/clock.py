"""What the database's clock says between two refreshes."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

RECENT_READINGS = 10


class ClockEstimate:
    """The database's clock: never ahead of it, and behind it by the quickest of the recent refreshes at most.

    A refresh reads the clock somewhere between its question and the answer's arrival. From then on time passes by
    `monotonic`, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.monotonic = monotonic
        self._offsets: deque[float] = deque(maxlen=RECENT_READINGS)
        self._offset = 0.0

    def add(self, asked_at: float, read: datetime, arrived_at: float) -> None:
        """One reading of the clock, between two instants of `monotonic`."""
        said = read.timestamp()
        if self._offsets and self._offset > said - asked_at:
            # The clock was set back: by the earlier readings it would have been ahead of this one.
            self._offsets.clear()
        self._offsets.append(said - arrived_at)
        self._offset = max(self._offsets)

    def now(self) -> datetime:
        """The clock's least value now."""
        return datetime.fromtimestamp(self.monotonic() + self._offset, UTC)

    def reaches(self, instant: datetime | None) -> float:
        """When `now` comes to `instant`, by `monotonic`; never for None."""
        return float("inf") if instant is None else instant.timestamp() - self._offset
