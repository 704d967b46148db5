"""What a schedule sets, and on what condition: updates of a flag's settings, or the override of one user."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

from flagsched.domain.conditions import Condition, read_condition
from flagsched.domain.overrides import SETS, OverrideChange

ONLY_IF = "onlyIf"
FIELDS = {"enabled": "enabled", "rolloutPercentage": "rollout_percentage"}


@dataclass(frozen=True, slots=True)
class Updates:
    """Absolute settings of a flag; None leaves a setting as it is, and at least one is set.

    Those of a schedule may have a condition. Raises ValueError for a value that no flag can have.
    """

    enabled: bool | None = None
    rollout_percentage: int | None = None
    only_if: Condition | None = None

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
        """The settings under their JSON names, as they are answered."""
        named = {name: getattr(self, attribute) for name, attribute in FIELDS.items()}
        return {name: value for name, value in named.items() if value is not None}

    def under(self, condition: Condition | None) -> Self:
        """The same on this condition."""
        return replace(self, only_if=condition)


@dataclass(frozen=True, slots=True)
class UnreadableUpdates:
    """Stored updates that can't be read, with the reason; only a hand or a fault can have put them there."""

    reason: str

    @property
    def only_if(self) -> None:
        """None: what can't be read fails, on whatever condition."""
        return None

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


def stored_updates(change: Change | UnreadableUpdates) -> dict[str, Any] | None:
    """What a schedule sets as it is stored, beside its condition.

    So a release that does not know conditions can't read it, and has it fail rather than take effect on none.
    """
    condition = change.only_if
    sets = change.as_json()
    return sets if condition is None or sets is None else {**sets, ONLY_IF: condition.as_stored()}


def planned_in(change: Change, version: int) -> Change:
    """A change that is planned while its flag is in this version: its condition may ask for edits since then."""
    return change if change.only_if is None else change.under(change.only_if.planned_in(version))


def read_updates(stored: object) -> Change | UnreadableUpdates:
    """Read the stored JSON value of what a schedule sets, whatever it is."""
    if not isinstance(stored, Mapping):
        return UnreadableUpdates("updates are not a JSON object")
    if ONLY_IF not in stored:
        return _read_change(stored)
    change = _read_change({name: value for name, value in stored.items() if name != ONLY_IF})
    if isinstance(change, UnreadableUpdates):
        return change
    try:
        return change.under(read_condition(stored[ONLY_IF]))
    except ValueError as error:
        return UnreadableUpdates(str(error))


def _read_change(stored: Mapping[str, Any]) -> Change | UnreadableUpdates:
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
