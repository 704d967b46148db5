"""Evaluation: is a flag on for a user, and why? docs/evaluation.md has test vectors."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b

from mmh3 import hash as murmur3

from flagsched.domain.effective import EffectiveFlag
from flagsched.domain.instants import rfc3339

BUCKETS = 10_000
PER_CENT = BUCKETS // 100
DIGEST_BYTES = 16


class Reason(StrEnum):
    """Why a flag is on or off. Source: OFREP 0.3, `evaluationSuccess`."""

    DISABLED = "DISABLED"
    TARGETING_MATCH = "TARGETING_MATCH"
    STATIC = "STATIC"
    SPLIT = "SPLIT"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A flag's value for a user. It has no reason where a percentage needs a targeting key and there is none."""

    value: bool
    reason: Reason | None

    @property
    def variant(self) -> str:
        """What OpenFeature calls the value."""
        return "on" if self.value else "off"


DISABLED = Evaluation(value=False, reason=Reason.DISABLED)
EXCLUDED = Evaluation(value=False, reason=Reason.TARGETING_MATCH)
INCLUDED = Evaluation(value=True, reason=Reason.TARGETING_MATCH)
NOBODY = Evaluation(value=False, reason=Reason.STATIC)
EVERYBODY = Evaluation(value=True, reason=Reason.STATIC)
OUTSIDE = Evaluation(value=False, reason=Reason.SPLIT)
INSIDE = Evaluation(value=True, reason=Reason.SPLIT)
NO_KEY = Evaluation(value=False, reason=None)
STATIC = {0: NOBODY, 100: EVERYBODY}


def bucket(flag_key: str, targeting_key: str) -> int:
    """Where a user stands among those of a flag, from 0 to 9999.

    Murmur3 (x86, 32 bits, seed 0, unsigned) of the UTF-8 of `flag_key/targeting_key`, modulo 10,000; a lone surrogate
    counts as its three bytes.
    """
    text = f"{flag_key}/{targeting_key}"
    # As bytes: a str with a lone surrogate, which no UTF-8 has, would crash the library (mmh3 5.3) and the process.
    return murmur3(text if text.isascii() else text.encode("utf-8", "surrogatepass"), 0, False) % BUCKETS


class Evaluator:
    """A flag from one change to the next: what it is, and for whom it is on."""

    __slots__ = (
        "_below",
        "_constant",
        "_overrides",
        "digest",
        "effective",
        "key",
        "next_change_at",
        "version",
    )

    def __init__(self, effective: EffectiveFlag, overrides: Mapping[str, bool]) -> None:
        """`overrides` says who is included (True) and excluded (False), by targeting key."""
        state = effective.state
        self.effective = effective
        self.key = effective.flag.name.key
        self.version = state.version
        self.next_change_at = effective.next_change_at
        self._below = state.rollout_percentage * PER_CENT
        self._constant = STATIC.get(state.rollout_percentage) if state.enabled else DISABLED
        self._overrides = overrides if state.enabled else {}
        self.digest = self._digest()

    @property
    def metadata(self) -> dict[str, bool | int | float | str]:
        """OpenFeature's flag metadata: flat, and without nulls."""
        metadata: dict[str, bool | int | float | str] = {"version": self.version}
        if self.next_change_at is not None:
            metadata["nextChangeAt"] = rfc3339(self.next_change_at)
        return metadata

    def _digest(self) -> int:
        """A number that names every possible answer about the flag, the same in every process."""
        state = self.effective.state
        answers = (self.metadata, self.key, state.enabled, state.rollout_percentage)
        named = repr((answers, sorted(self._overrides.items()))).encode()
        return int.from_bytes(blake2b(named, digest_size=DIGEST_BYTES).digest())

    def evaluate(self, targeting_key: str | None) -> Evaluation:
        """Is it on for `targeting_key`, or for a caller without one, and why?"""
        if self._overrides and (included := self._overrides.get(targeting_key or "")) is not None:
            return INCLUDED if included else EXCLUDED
        if self._constant is not None:
            return self._constant
        if not targeting_key:
            return NO_KEY
        return INSIDE if bucket(self.key, targeting_key) < self._below else OUTSIDE
