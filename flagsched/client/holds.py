"""Holds over HTTP: stop what is planned for a flag or an environment, and let it go on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias
from urllib.parse import quote

from flagsched.client.server import Server

Answer: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """What a hold bears on: a flag, or without a key all flags of the environment."""

    environment: str
    key: str | None = None

    @property
    def name(self) -> str:
        """As a person calls it."""
        return f"{self.key} in {self.environment}" if self.key else f"all of {self.environment}"


@dataclass(frozen=True, slots=True)
class Asked:
    """The hold that is asked for; None leaves a field to the server."""

    reason: str
    starts_at: str | None = None
    ends_at: str | None = None
    at_end: str | None = None
    refuses_edits: bool = False
    off: bool = False

    def as_json(self) -> dict[str, Any]:
        """The body of the request."""
        named = {"from": self.starts_at, "until": self.ends_at, "then": self.at_end}
        body: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        body |= {"refuseEdits": True} if self.refuses_edits else {}
        body |= {"updates": {"enabled": False}} if self.off else {}
        return {"reason": self.reason, **body}


@dataclass(frozen=True, slots=True)
class PlacedHold:
    """A hold as the server tells of it; `answer` is the server's own."""

    id: str
    status: str
    starts_at: str
    ends_at: str | None
    flag_key: str | None
    answer: Answer

    @classmethod
    def of(cls, answer: Answer) -> Self:
        """Read an answer; KeyError or TypeError if it is not one."""
        return cls(
            str(answer["id"]),
            str(answer["status"]),
            str(answer["from"]),
            answer["until"],
            answer["flagKey"],
            answer,
        )


def place(server: Server, scope: Scope, asked: Asked, *, once: str) -> PlacedHold:
    """Place a hold. Sent again with the same key `once`, it places no second one. ServerFailed."""
    if scope.key is None:
        path, query = f"/api/admin/environments/{quote(scope.environment, safe='')}/holds", {}
    else:
        path, query = f"/api/admin/flags/{quote(scope.key, safe='')}/holds", {"environment": scope.environment}
    return server.read(lambda: PlacedHold.of(server.post(path, asked.as_json(), once=once, **query)))


def bearing_on(server: Server, scope: Scope, status: str = "active") -> Sequence[PlacedHold]:
    """The holds that bear on a flag, or on all of an environment, now; its environment's among those of a flag.

    With the status `upcoming`, those that are planned.
    """
    query = {"environment": scope.environment, "status": status, "limit": "500"}
    query |= {"flagKey": scope.key} if scope.key else {}
    found = server.read(lambda: [PlacedHold.of(one) for one in server.get("/api/admin/holds", **query)["holds"]])
    return [one for one in found if scope.key or one.flag_key is None]


def release(server: Server, hold: PlacedHold, how: str | None) -> PlacedHold:
    """End a hold now: as it says itself, unless `how` does. ServerFailed."""
    body = {} if how is None else {"then": how}
    return server.read(lambda: PlacedHold.of(server.post(f"/api/admin/holds/{hold.id}/release", body)))
