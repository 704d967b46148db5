"""Figures: what was measured, beside the ceiling measured in the same run, and how they are printed."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """Ours and the ceiling, in `unit`; `ratio` is ours in ceilings, and should be at least (or at most) `wanted`."""

    name: str
    unit: str
    ours: float
    ceiling: float
    ratio: float
    wanted: str

    @property
    def row(self) -> str:
        """A row of a table."""
        measured = f"{_short(self.ours)} {self.unit} | {_short(self.ceiling)} | {self.ratio:.2f}"
        return f"| {self.name} | {measured} | {self.wanted} |"

    @property
    def line(self) -> str:
        """A line of JSON."""
        return json.dumps(asdict(self))


def interleaved(
    name: str,
    unit: str,
    ours: Callable[[], float],
    ceiling: Callable[[], float],
    wanted: str,
    rounds: int = ROUNDS,
) -> Figure:
    """Measure both in turns, after one round that does not count; the ratio is the median of the rounds' ratios."""
    ours(), ceiling()
    measured = [(ours(), ceiling()) for _ in range(rounds)]
    return Figure(
        name,
        unit,
        median(mine for mine, _ in measured),
        median(other for _, other in measured),
        median(mine / other for mine, other in measured),
        wanted,
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
