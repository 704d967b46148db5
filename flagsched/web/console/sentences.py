"""What is, what is planned and what happened, as sentences."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from flagsched.domain.flags import FlagState
from flagsched.domain.history import Action, Document, StoredEntry
from flagsched.domain.overrides import OverrideChange
from flagsched.domain.updates import Change, UnreadableUpdates
from flagsched.web.console.instants import PersonalTime


def describe_state(state: FlagState | Mapping[str, Any]) -> str:
    """As `on for 50 %`, `on` or `off`."""
    if isinstance(state, FlagState):
        return _state(enabled=state.enabled, percentage=state.rollout_percentage)
    return _state(enabled=state.get("enabled"), percentage=state.get("rolloutPercentage"))


def describe_change(change: Change | UnreadableUpdates) -> str:
    """What a schedule sets, as `on, 50 %`, with its condition."""
    if isinstance(change, UnreadableUpdates):
        return f"can't be read: {change.reason}"
    set_ = _override(change.as_json()["override"]) if isinstance(change, OverrideChange) else _sets(change.as_json())
    condition = _condition(change.only_if.as_json()) if change.only_if else ""
    return f"{set_}{condition}"


def describe_entry(entry: StoredEntry, time: PersonalTime) -> str:
    """What happened, without who did it and to which flag: `turned it on`, `planned on, 50 % for Thu 26 Nov, 14:00`."""
    told = SENTENCES[entry.action](entry.before or {}, entry.after or {}, time)
    undoes = f", undoing entry {entry.undoes}" if entry.undoes is not None else ""
    despite = (entry.after or {}).get("despiteHold")
    exemption = f", in spite of a freeze: {despite['reason']}" if despite else ""
    return f"{told}{undoes}{exemption}"


def _state(*, enabled: object, percentage: object) -> str:
    if not enabled:
        return "off"
    return "on" if percentage == 100 else f"on for {percentage} %"


def _sets(updates: Mapping[str, Any]) -> str:
    parts = []
    if "enabled" in updates:
        parts.append("on" if updates["enabled"] else "off")
    if "rolloutPercentage" in updates:
        parts.append(f"{updates['rolloutPercentage']} %")
    return ", ".join(parts)


def _override(override: Mapping[str, Any]) -> str:
    match override["set"]:
        case "remove":
            return f"no longer set {override['userId']} apart"
        case kind:
            return f"{kind} {override['userId']}"


def _condition(condition: Mapping[str, Any]) -> str:
    bounds = condition.get("rolloutPercentage", {})
    asked = [
        *(["it is on" if condition["enabled"] else "it is off"] if "enabled" in condition else []),
        *([f"it is at {bounds['atLeast']} % or more"] if "atLeast" in bounds else []),
        *([f"it is at {bounds['atMost']} % or less"] if "atMost" in bounds else []),
        *(["nobody has edited it by hand"] if condition.get("unedited") else []),
    ]
    return f", only if {' and '.join(asked)}"


def _planned(document: Document) -> str:
    if document.get("updates"):
        what = _sets(document["updates"])
    elif document.get("override"):
        what = _override(document["override"])
    else:
        what = "what can't be read"
    return what + (_condition(document["onlyIf"]) if document.get("onlyIf") else "")


def _at(document: Document, name: str, time: PersonalTime) -> str:
    value = document.get(name)
    return time.plain(datetime.fromisoformat(value)) if value else "an open end"


def _flag_created(_before: Document, after: Document, _time: PersonalTime) -> str:
    return f"created the flag: {describe_state(after)}"


def _flag_updated(before: Document, after: Document, _time: PersonalTime) -> str:
    parts = []
    if before.get("enabled") != after.get("enabled"):
        parts.append("turned it on" if after.get("enabled") else "turned it off")
    if before.get("rolloutPercentage") != after.get("rolloutPercentage"):
        parts.append(f"set it from {before.get('rolloutPercentage')} % to {after.get('rolloutPercentage')} %")
    if before.get("description") != after.get("description"):
        parts.append("changed its description")
    return " and ".join(parts) or "changed nothing"


def _flag_archived(_before: Document, _after: Document, _time: PersonalTime) -> str:
    return "archived the flag"


def _flag_restored(_before: Document, after: Document, _time: PersonalTime) -> str:
    return f"restored the flag: {describe_state(after)}"


def _schedule_created(_before: Document, after: Document, time: PersonalTime) -> str:
    return f"planned {_planned(after)} for {_at(after, 'scheduledAt', time)}"


def _schedule_updated(before: Document, after: Document, time: PersonalTime) -> str:
    if before.get("scheduledAt") == after.get("scheduledAt"):
        return f"changed what is planned for {_at(after, 'scheduledAt', time)}: {_planned(before)} → {_planned(after)}"
    moved = f"moved {_planned(before)} from {_at(before, 'scheduledAt', time)} to {_at(after, 'scheduledAt', time)}"
    return moved if _planned(before) == _planned(after) else f"{moved}, and made it {_planned(after)}"


def _schedule_cancelled(before: Document, _after: Document, time: PersonalTime) -> str:
    return f"cancelled {_planned(before)}, planned for {_at(before, 'scheduledAt', time)}"


def _schedule_applied(before: Document, after: Document, _time: PersonalTime) -> str:
    if after.get("override"):
        return f"as planned: {_override(after['override'])}"
    return f"as planned: {describe_state(before)} → {describe_state(after)}"


def _schedule_failed(_before: Document, after: Document, _time: PersonalTime) -> str:
    return f"a planned change failed: {after.get('errorMessage', 'no reason is known')}"


def _schedule_skipped(_before: Document, after: Document, _time: PersonalTime) -> str:
    return f"a planned change was skipped: {after.get('statusReason', 'no reason is known')}"


def _override_set(_before: Document, after: Document, _time: PersonalTime) -> str:
    reason = f": {after['reason']}" if after.get("reason") else ""
    return f"set {after.get('userId')} apart, {_kind(after)}{reason}"


def _override_removed(before: Document, _after: Document, _time: PersonalTime) -> str:
    return f"no longer sets {before.get('userId')} apart ({_kind(before)} before)"


def _kind(document: Document) -> str:
    return "always on" if document.get("override") == "include" else "always off"


def _hold_placed(_before: Document, after: Document, time: PersonalTime) -> str:
    until = f" until {_at(after, 'until', time)}" if after.get("until") else " until it is released"
    kind = "froze it" if after.get("refuseEdits") else "held what is planned"
    return f"{kind} from {_at(after, 'from', time)}{until}: {after.get('reason')}"


def _hold_updated(before: Document, after: Document, time: PersonalTime) -> str:
    told = {
        "until": f"it ends at {_at(after, 'until', time)}",
        "then": f"then {after.get('then')}",
        "reason": f"{after.get('reason')}",
    }
    changed = [sentence for name, sentence in told.items() if before.get(name) != after.get(name)]
    return f"changed the hold: {'; '.join(changed) or 'nothing'}"


def _hold_released(_before: Document, after: Document, _time: PersonalTime) -> str:
    then = "what it kept was skipped" if after.get("then") == "skip" else "what it kept goes on"
    return f"released the hold ({after.get('reason')}); {then}"


SENTENCES: Mapping[Action, Callable[[Document, Document, PersonalTime], str]] = {
    Action.FLAG_CREATED: _flag_created,
    Action.FLAG_UPDATED: _flag_updated,
    Action.FLAG_ARCHIVED: _flag_archived,
    Action.FLAG_RESTORED: _flag_restored,
    Action.SCHEDULE_CREATED: _schedule_created,
    Action.SCHEDULE_UPDATED: _schedule_updated,
    Action.SCHEDULE_CANCELLED: _schedule_cancelled,
    Action.SCHEDULE_APPLIED: _schedule_applied,
    Action.SCHEDULE_FAILED: _schedule_failed,
    Action.SCHEDULE_SKIPPED: _schedule_skipped,
    Action.OVERRIDE_SET: _override_set,
    Action.OVERRIDE_REMOVED: _override_removed,
    Action.HOLD_PLACED: _hold_placed,
    Action.HOLD_UPDATED: _hold_updated,
    Action.HOLD_RELEASED: _hold_released,
}
