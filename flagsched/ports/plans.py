"""Plans in storage."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from flagsched.domain.plans import Plan
from flagsched.ports.pages import Page


@dataclass(frozen=True, slots=True)
class PlanQuery:
    """Which plans, newest first: those before (created_at, id) `before`, `limit` at most.

    `environment` is one that a flag of theirs is in, `search` a part of their names or titles.
    """

    environment: str | None = None
    name: str | None = None
    search: str = ""
    before: tuple[datetime, UUID] | None = None
    limit: int = 50


class PlanReader(Protocol):
    """Plans as last written, without their schedules."""

    def find(self, plan_id: UUID) -> Plan | None:
        """The plan of that id."""

    def among(self, plan_ids: Collection[UUID]) -> Mapping[UUID, Plan]:
        """The plans of these ids, by id."""

    def page(self, query: PlanQuery) -> Page[Plan]:
        """Plans by (created_at, id), newest first."""


class PlanWriter(PlanReader, Protocol):
    """Plans, with their locks: taken before those of flags, so that no two writers wait for each other."""

    def add(self, plan: Plan) -> None:
        """Insert a plan; PlanExists if another of its name has not been ended."""

    def lock(self, plan_id: UUID) -> Plan | None:
        """The plan of that id, locked until the transaction ends."""

    def lock_named(self, name: str) -> Plan | None:
        """The plan of that name that has not been ended, locked until the transaction ends."""

    def change(self, plan: Plan) -> None:
        """Write what of a plan can change."""
