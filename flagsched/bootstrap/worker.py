"""The worker's process, without Flask."""

import gc
import sys
from functools import partial

from flagsched.bootstrap.logs import configure_logs
from flagsched.bootstrap.settings_warnings import log_unknown_settings
from flagsched.config.environment import BadSettings
from flagsched.config.settings import WorkerSettings, read_worker_settings
from flagsched.database.connections.engine import open_engine
from flagsched.database.connections.listen import listen
from flagsched.database.unit_of_work import SqlStore
from flagsched.domain.errors import FlagschedError
from flagsched.worker.drain import Drain
from flagsched.worker.process import Worker
from flagsched.worker.tick import Tick

MAX_TRANSACTION_SECONDS = 8.0
"""How long a worker waits for a transaction: longer than a request, and still in time for SIGTERM."""


def main() -> None:
    """Work until a signal comes; exit code 2 for bad settings."""
    settings = _settings()
    engine = open_engine(settings.common.database_url, settings.common.limits)
    store = SqlStore(engine, seconds=MAX_TRANSACTION_SECONDS)
    drain = Drain(store)
    gc.freeze()  # What was imported stays: the garbage collector need not go through it.
    Worker(
        Tick(store, drain, poll_seconds=settings.poll_seconds),
        drain,
        listen=partial(listen, engine) if engine.dialect.name == "postgresql" else None,
        watchdog_seconds=settings.watchdog_seconds,
    ).run()


def record_once() -> None:
    """Record what is due now, and end; exit code 1 if not all of it could be recorded."""
    settings = _settings()
    engine = open_engine(settings.common.database_url, settings.common.limits)
    try:
        failed = Drain(SqlStore(engine))()
    except FlagschedError as error:
        sys.exit(f"flagsched worker: {error.message}")
    if failed:
        sys.exit(f"flagsched worker: {len(failed)} flags could not be recorded; the log says why")


def _settings() -> WorkerSettings:
    try:
        settings = read_worker_settings()
    except BadSettings as error:
        print(f"flagsched worker: {error}", file=sys.stderr)
        sys.exit(2)
    configure_logs(settings.common.log_level)
    log_unknown_settings()
    return settings
