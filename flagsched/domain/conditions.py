"""Conditions: what must hold of a flag just before a schedule takes effect, or the schedule is skipped."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self, TypeAlias

ConditionJson: TypeAlias = dict[str, Any]
BOUNDS = {"atLeast": "at_least", "atMost": "at_most"}


class Judged(Protocol):
    """What a condition asks a flag's state for."""

    @property
    def enabled(self) -> bool:
        """Is it on?"""

    @property
    def rollout_percentage(self) -> int:
        """For how many of a hundred users?"""

    @property
    def edited_version(self) -> int:
        """The version that was last made by hand; 0 if none was."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What a flag must be; None leaves a thing open, and at least one is asked for.

    With `unedited`, nobody must have edited its settings by hand since `planned_version`, the version that it was in
    when that was asked for. Raises ValueError for what no flag can meet.
    """

    enabled: bool | None = None
    at_least: int | None = None
    at_most: int | None = None
    unedited: bool = False
    planned_version: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.enabled is None and self.at_least is None and self.at_most is None and not self.unedited:
            raise ValueError("onlyIf asks for nothing")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"atLeast {self.at_least} is more than atMost {self.at_most}")

    def unmet(self, state: Judged) -> str | None:
        """Why a flag in this state does not meet it, with what was wanted and what was found; None if it does."""
        found = [*self._wrong_settings(state)]
        if self.unedited and state.edited_version > (self.planned_version or 0):
            found.append(f"wanted unedited, found an edit by hand in version {state.edited_version}")
        return f"onlyIf is not met: {'; '.join(found)}" if found else None

    def _wrong_settings(self, state: Judged) -> list[str]:
        found = []
        if self.enabled is not None and state.enabled is not self.enabled:
            found.append(f"wanted {_on(self.enabled)}, found {_on(state.enabled)}")
        if self.at_least is not None and state.rollout_percentage < self.at_least:
            found.append(f"wanted at least {self.at_least} %, found {state.rollout_percentage} %")
        if self.at_most is not None and state.rollout_percentage > self.at_most:
            found.append(f"wanted at most {self.at_most} %, found {state.rollout_percentage} %")
        return found

    def planned_in(self, version: int) -> Self:
        """The condition of a schedule that is planned while its flag is in this version."""
        return replace(self, planned_version=version) if self.unedited else self

    def as_json(self) -> ConditionJson:
        """The condition as it was asked for."""
        bounds = {name: at for name, attribute in BOUNDS.items() if (at := getattr(self, attribute)) is not None}
        asked = {"enabled": self.enabled, "rolloutPercentage": bounds or None, "unedited": self.unedited or None}
        return {name: value for name, value in asked.items() if value is not None}

    def as_stored(self) -> ConditionJson:
        """The same as it is stored: in the place of `true`, `unedited` is the version to count from."""
        return self.as_json() | ({"unedited": self.planned_version} if self.unedited else {})


def read_condition(stored: object) -> Condition:
    """Read the stored JSON value of a condition, whatever it is; ValueError."""
    if not isinstance(stored, Mapping) or stored.keys() - {"enabled", "rolloutPercentage", "unedited"}:
        raise ValueError("onlyIf is not a JSON object of enabled, rolloutPercentage and unedited")
    enabled, bounds, version = stored.get("enabled"), stored.get("rolloutPercentage", {}), stored.get("unedited")
    if not isinstance(bounds, Mapping) or bounds.keys() - BOUNDS.keys():
        raise ValueError("rolloutPercentage of onlyIf is not a JSON object of atLeast and atMost")
    if not (enabled is None or isinstance(enabled, bool)) or not all(map(_is_number, [version, *bounds.values()])):
        raise ValueError("onlyIf has a value of another type")
    at = {attribute: bounds.get(name) for name, attribute in BOUNDS.items()}
    return Condition(enabled, **at, unedited=version is not None, planned_version=version)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _on(enabled: bool) -> str:
    return "on" if enabled else "off"
