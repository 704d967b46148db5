"""What snapshots are made of."""

from collections.abc import Mapping
from typing import Protocol

from flagsched.domain.snapshot import FlagSnapshot


class SnapshotReader(Protocol):
    """What snapshots are made of."""

    def revisions(self) -> Mapping[str, int]:
        """The revision of each environment, by name."""

    def whole(self, environment: str) -> list[FlagSnapshot]:
        """All flags of an environment that are not archived, with what is planned for them."""

    def changed_since(self, environment: str, revision: int) -> list[FlagSnapshot]:
        """Those that were changed by a later revision than this, archived ones too."""
