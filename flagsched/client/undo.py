"""Undo over HTTP: set back what an entry of a flag's history changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

from flagsched.client.errors import ServerFailed
from flagsched.client.holds import Scope
from flagsched.client.server import Server

WITHOUT_UNDO = ("flag.created", "schedule.failed", "schedule.skipped", "hold.")


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """An entry as the server tells of it; `answer` is the server's own."""

    id: int
    action: str
    actor: str
    effective_at: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    answer: Mapping[str, Any]

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Read an answer; KeyError or TypeError if it is not one."""
        return cls(
            int(answer["id"]),
            str(answer["action"]),
            str(answer["actor"]),
            str(answer["effectiveAt"]),
            answer["before"] or {},
            answer["after"] or {},
            answer,
        )

    @property
    def changes(self) -> str:
        """What it changed, by name."""
        names = [name for name in {**self.before, **self.after} if self.before.get(name) != self.after.get(name)]
        return ", ".join(f"{name} {_shown(self.before, name)} -> {_shown(self.after, name)}" for name in names)


def newest(server: Server, scope: Scope) -> HistoryEntry:
    """The newest entry of a flag that can be undone; ServerFailed if the newest hundred have none."""

    def ask() -> list[HistoryEntry]:
        query = {"environment": scope.environment, "flagKey": scope.key or "", "limit": "100"}
        return [HistoryEntry.of(one) for one in server.get("/api/admin/history", **query)["entries"]]

    found = next((one for one in server.read(ask) if not one.action.startswith(WITHOUT_UNDO)), None)
    if found is None:
        raise ServerFailed(f"nothing of {scope.name} can be undone: has anything of it been changed?")
    return found


def undo(server: Server, scope: Scope, entry_id: int, *, force: bool, despite: str | None, once: str) -> HistoryEntry:
    """Undo an entry; sent again with the same key `once`, it has no second effect. ServerFailed."""
    body = {"entryId": entry_id} | ({"force": True} if force else {})
    query = {"environment": scope.environment} | ({"override": despite} if despite else {})
    path = f"/api/admin/flags/{quote(scope.key or '', safe='')}/undo"
    return server.read(lambda: HistoryEntry.of(server.post(path, body, once=once, **query)))


def _shown(values: Mapping[str, Any], name: str) -> str:
    return str(values[name]) if name in values else "nothing"
