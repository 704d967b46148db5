"""What is asked of a process, done to its flag, and counted of its looks."""

from collections.abc import Callable

from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.flags import FlagEdit
from flagsched.domain.updates import Updates
from flagsched.snapshots.refresher import SnapshotRefresher
from flagsched.usecases.schedules import cancel_schedule, plan_schedules
from tests.builders import ADMIN, CHECKOUT, a_change, after

ALL = "/ofrep/v1/evaluate/flags"
ONE = f"{ALL}/new-checkout"
ADA = {"context": {"targetingKey": "ada"}}
OFF = FlagEdit(Updates(enabled=False))
REVISIONS = "SELECT feature_flag_environments.name"
UNREADABLE = {"sqlite": "'soon'", "postgresql": "'20000-01-01'"}
"""An instant that the database takes, by its kind, and that nobody can read."""


def plan_off(store: SqlStore, seconds: float) -> Callable[[], object]:
    """Plan to switch the flag off; gives what cancels it."""
    changes = [a_change(after(seconds), enabled=False)]
    (made,) = plan_schedules(CHECKOUT, changes, batch=False, by=ADMIN, store=store)
    return lambda: cancel_schedule(CHECKOUT, made.schedule.id, by=ADMIN, store=store)


def looks(statements: list[str]) -> int:
    return sum(statement.startswith(REVISIONS) for statement in statements)


def enabled(refresher: SnapshotRefresher, environment: str = "production") -> bool:
    return refresher.effective(environment).flags["new-checkout"].effective.state.enabled
