"""Freezes: holds that refuse edits by hand."""

from datetime import datetime

from flagsched.domain.errors import Frozen
from flagsched.domain.flags import Flag
from flagsched.domain.history import Exemption
from flagsched.domain.instants import rfc3339
from flagsched.ports.store import Writing


def refuse_frozen(work: Writing, flag: Flag, clock: datetime, override: str | None) -> Exemption | None:
    """Raise Frozen if a hold refuses edits of a locked flag by hand; `override` is the reason to edit it all the same.

    Returns that reason for the history, if it was needed.
    """
    now = flag.now(clock)
    held = work.holds.bearing_on([flag], now).get(flag.id, ())
    freeze = next((hold for hold in held if hold.refuses_edits and hold.covers(now)), None)
    if freeze is None:
        return None
    if override is None:
        raise Frozen(freeze.id, freeze.reason, rfc3339(freeze.ends_at) if freeze.ends_at else None)
    return Exemption(freeze.id, override)
