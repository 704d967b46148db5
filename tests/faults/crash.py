"""Processes that end themselves at a statement of their own: `python -m tests.faults.crash WHAT SIGNAL`.

WHAT is `record` (what a worker does), `bulk` (what a web process does with a bulk of 50), `plan` (with a plan over ten
flags in two environments, whose first step is in effect at once), `hold` (with the red button), `freeze` (with the hold
of an environment) or how to release the only hold:
`catchUp`, `skip` or `shift`. For each line that it gets, a number or `commit`,
it forks a process which sends itself SIGNAL after that statement, or just before it commits, and prints how that one
ended.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, NoReturn

import sqlalchemy as sa

from flagsched.bootstrap.logs import configure_logs
from flagsched.bootstrap.web import create_app
from flagsched.config.settings import read_settings, read_web_settings
from flagsched.database.connections.engine import open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.history import Actor
from flagsched.domain.holds import Release
from flagsched.ports.holds import HoldQuery
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.holds import list_holds, release_hold
from flagsched.usecases.materialise import materialise_due
from tests.processes import a_token

FLAGS_OF_PLAN = [f"flag-{n}" for n in range(10)]


def main(what: str, signal_name: str) -> None:
    """Fork and wait, line by line."""
    configure_logs(logging.INFO)
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            live(what, signal_name, line.strip())
        _, status = os.waitpid(child, os.WUNTRACED)
        print("stopped" if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status), child, flush=True)


def live(what: str, signal_name: str, statement: str) -> NoReturn:
    """Do it, unless the signal ends it."""
    settings = read_settings()
    engine = open_engine(settings.database_url, settings.limits)
    store = SqlStore(engine)
    store.check()
    _strike(engine, signal.Signals[signal_name], statement)
    if what == "record":
        materialise_due(store, Backoff(monotonic))
    elif what in {*Release}:
        _release(store, Release(what))
    else:
        _post(store, *REQUESTS[what]())
    os._exit(0)


def _strike(engine: sa.Engine, signum: signal.Signals, statement: str) -> None:
    done = 0

    def after(*_: object) -> None:
        nonlocal done
        done += 1
        if str(done) == statement:
            os.kill(os.getpid(), signum)

    def commit(*_: object) -> None:
        if statement == "commit":
            os.kill(os.getpid(), signum)

    sa.event.listen(engine, "after_cursor_execute", after)
    sa.event.listen(engine, "commit", commit)


def _a_bulk() -> tuple[str, dict[str, Any]]:
    later = datetime.now(UTC) + timedelta(hours=1)
    items = [
        {"scheduledAt": (later + timedelta(seconds=n)).isoformat(), "updates": {"rolloutPercentage": n}}
        for n in range(50)
    ]
    return "/api/admin/flags/new-checkout/schedule/bulk", {"schedules": items}


def _a_plan() -> tuple[str, dict[str, Any]]:
    steps: list[dict[str, Any]] = [{"updates": {"enabled": True}}, {"after": "PT1H", "updates": {"enabled": False}}]
    environments = [{"name": "dev"}, {"name": "production"}]
    return "/api/admin/plans", {"flags": FLAGS_OF_PLAN, "environments": environments, "steps": steps, "name": "launch"}


def _a_hold() -> tuple[str, dict[str, Any]]:
    return "/api/admin/flags/new-checkout/holds", {"reason": "it burns", "updates": {"enabled": False}}


def _a_freeze() -> tuple[str, dict[str, Any]]:
    return "/api/admin/environments/production/holds", {"reason": "it burns", "refuseEdits": True}


REQUESTS: dict[str, Callable[[], tuple[str, dict[str, Any]]]] = {
    "bulk": _a_bulk,
    "plan": _a_plan,
    "hold": _a_hold,
    "freeze": _a_freeze,
}


def _release(store: SqlStore, how: Release) -> None:
    (only,) = list_holds(HoldQuery(), store=store).items
    release_hold(only.hold.id, how, by=Actor("ada"), store=store)


def _post(store: SqlStore, path: str, body: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {a_token()}", "Idempotency-Key": "one"}
    answer = create_app(read_web_settings(), store=store).test_client().post(path, json=body, headers=headers)
    assert answer.status_code == 201, answer.text


if __name__ == "__main__":
    main(*sys.argv[1:])
