"""What a schedule sets: updates of `enabled` and/or `rolloutPercentage`, or the override of one user."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from flagsched.domain.overrides import SETS, OverrideChange

FIELDS = {"enabled": "enabled", "rolloutPercentage": "rollout_percentage"}


@dataclass(frozen=True, slots=True)
class Updates:
    """Absolute settings of a flag; None leaves a setting as it is, and at least one is set.

    Raises ValueError for a value that no flag can have.
    """

    enabled: bool | None = None
    rollout_percentage: int | None = None

    def __post_init__(self) -> None:
        if self.enabled is None and self.rollout_percentage is None:
            raise ValueError("updates set neither enabled nor rolloutPercentage")
        if self.enabled is not None and not isinstance(self.enabled, bool):
            raise ValueError("enabled is not a boolean")
        if self.rollout_percentage is not None and not _is_percentage(self.rollout_percentage):
            raise ValueError("rolloutPercentage is not an integer from 0 to 100")

    @property
    def targets(self) -> frozenset[str]:
        """What they set: two changes conflict if they set the same."""
        return frozenset(self.as_json())

    def as_json(self) -> dict[str, bool | int]:
        """The settings under their JSON names, as they are stored and answered."""
        named = {name: getattr(self, attribute) for name, attribute in FIELDS.items()}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class UnreadableUpdates:
    """Stored updates that can't be read, with the reason; only a hand or a fault can have put them there."""

    reason: str

    @property
    def targets(self) -> frozenset[str]:
        """Nothing."""
        return frozenset()

    def as_json(self) -> None:
        """None: they have no JSON that could be trusted."""
        return


Change: TypeAlias = Updates | OverrideChange
"""What a schedule can set."""


def _is_percentage(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100


def read_updates(stored: object) -> Change | UnreadableUpdates:
    """Read the stored JSON value of what a schedule sets, whatever it is."""
    if not isinstance(stored, Mapping):
        return UnreadableUpdates("updates are not a JSON object")
    if stored.keys() == {"override"}:
        return _read_override(stored["override"])
    if strange := sorted(str(name) for name in stored.keys() - FIELDS.keys()):
        return UnreadableUpdates(f"updates have unknown fields: {', '.join(strange)}"[:500])
    if nulls := [name for name, value in stored.items() if value is None]:
        return UnreadableUpdates(f"{nulls[0]} is null")
    try:
        return Updates(**{FIELDS[name]: value for name, value in stored.items()})
    except ValueError as error:
        return UnreadableUpdates(str(error))


def _read_override(stored: object) -> OverrideChange | UnreadableUpdates:
    if not (isinstance(stored, Mapping) and stored.keys() == {"userId", "set"}):
        return UnreadableUpdates("override is not a JSON object of userId and set")
    user_id, name = stored["userId"], stored["set"]
    if not (isinstance(user_id, str) and isinstance(name, str) and name in SETS):
        return UnreadableUpdates("override names no user, or sets none of: include, exclude, remove")
    try:
        return OverrideChange(user_id, SETS[name])
    except ValueError as error:
        return UnreadableUpdates(str(error))
