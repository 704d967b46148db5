"""The worker's process: the scheduler with its one job, signals, and the threads that watch over it."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event, Thread
from time import monotonic

import structlog
from apscheduler.events import EVENT_SCHEDULER_STARTED
from apscheduler.executors.debug import DebugExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers import SchedulerNotRunningError
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.base import BaseTrigger

from flagsched.worker.drain import Drain
from flagsched.worker.tick import Tick

JOB = "tick"
STUCK_EXIT_CODE = 70
CHECK_SECONDS = 1.0

Listen = Callable[[Callable[[datetime | None], None], Event], None]
"""Calls a function at each change until the event is set: with the earliest newly planned instant, by the database's
clock, with None if nothing was planned, and with `datetime.min` if changes may have been missed."""

log = structlog.get_logger("flagsched.worker")


class TickTrigger(BaseTrigger):  # type: ignore[misc]
    """Fires when the next tick is needed.

    A job can't move its own next run while it runs: the scheduler overwrites it afterwards with the trigger's answer.
    """

    def __init__(self, tick: Tick) -> None:
        self._tick = tick

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """`wait_seconds` from now; the scheduler's `now` is from before the tick ran."""
        del previous_fire_time, now
        return datetime.now(UTC) + timedelta(seconds=self._tick.wait_seconds)


class Worker:
    """Runs the tick until a signal stops it."""

    def __init__(
        self, tick: Tick, drain: Drain, *, listen: Listen | None = None, watchdog_seconds: float = 60.0
    ) -> None:
        self._tick = tick
        self._drain = drain
        self._listen = listen
        self._watchdog_seconds = watchdog_seconds
        self._stopped = Event()
        self._scheduler = BlockingScheduler(
            timezone=UTC,
            executors={"default": DebugExecutor()},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_job(tick, TickTrigger(tick), id=JOB, next_run_time=datetime.now(UTC))

    def run(self) -> None:
        """Work until SIGTERM or SIGINT: then the current transaction ends, and no other begins."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: self.stop())
        self._scheduler.add_listener(self._stop_if_stopped, EVENT_SCHEDULER_STARTED)
        self._drain.heartbeat()
        threads = [self._exit_when_stuck, self._wake_when_overdue]
        if self._listen is not None:
            threads.append(partial(self._listen, self._on_change, self._stopped))
        for target in threads:
            Thread(target=target, daemon=True).start()
        log.info("worker started", pid=os.getpid())
        self._scheduler.start()
        log.info("worker stopped", pid=os.getpid())

    def stop(self) -> None:
        """Stop once the current transaction has ended; safe in a signal handler."""
        self._drain.stopping = True
        self._stopped.set()
        # Shutting down waits for the tick, which the signal may have interrupted: so not in this thread.
        Thread(target=self._shut_down, daemon=True).start()

    def _shut_down(self) -> None:
        with suppress(SchedulerNotRunningError):
            self._scheduler.shutdown()

    def _stop_if_stopped(self, event: object) -> None:
        del event  # The signal came before the scheduler had started, and could not stop it then.
        if self._stopped.is_set():
            self.stop()

    def _on_change(self, planned_at: datetime | None) -> None:
        if planned_at is not None and not self._tick.comes_before(planned_at):
            self._wake()

    def _wake(self) -> None:
        # Waits for a running tick. The job is gone when the scheduler has been shut down.
        with suppress(JobLookupError):
            self._scheduler.modify_job(JOB, next_run_time=datetime.now(UTC))

    def _overdue_seconds(self) -> float:
        """How long ago the next tick should have begun, or a transaction of this one should have ended."""
        return monotonic() - self._drain.heartbeat_at - self._tick.wait_seconds

    def _wake_when_overdue(self) -> None:
        # The scheduler goes by the host's clock, which may be set back; this by the monotonic one.
        while not self._stopped.wait(CHECK_SECONDS):
            if self._overdue_seconds() > CHECK_SECONDS:
                self._wake()

    def _exit_when_stuck(self) -> None:
        # A worker that hangs must not look alive: its supervisor starts another.
        while not self._stopped.wait(CHECK_SECONDS):
            if self._overdue_seconds() > self._watchdog_seconds:
                log.critical("no transaction was finished or tried, giving up", seconds=self._watchdog_seconds)
                os._exit(STUCK_EXIT_CODE)
