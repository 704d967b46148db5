"""gunicorn's master process, with a HUP that leaves no gap: old workers answer until new ones do."""

import os
from signal import SIGINT, SIGQUIT, SIGTERM
from time import monotonic, sleep
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

STOP = {SIGINT, SIGQUIT, SIGTERM}
BOOT_SECONDS = 60
"""How long new workers may take to load the app before the old ones stop all the same."""
LOOK_SECONDS = 0.1
RETRY_SECONDS = 1.0
"""How soon another worker is started after one that could not boot."""


class GaplessArbiter(Arbiter):
    """Stops old workers once as many new ones answer. While any worker answers, one that can't boot stops nothing."""

    log: Logger
    _old: frozenset[int] = frozenset()
    """The processes that a HUP replaces."""
    _before: Any = None
    """The settings that they were started with, until new ones have shown that they work."""

    def reload(self) -> None:
        """On HUP; if gunicorn.conf.py can't be read, or no worker boots with it, nothing changes."""
        self._before = self.app.cfg
        self._old = frozenset(self.WORKERS)
        try:
            super().reload()
        except SystemExit as fault:
            if os.getpid() != self.pid:
                raise  # This is a worker, which was forked in there, and ends.
            self.app.cfg = self._before
            self.log.error("cannot reload, going on with the settings as they were: %s", fault)  # noqa: TRY400
        self._before = None

    def manage_workers(self) -> None:
        """gunicorn's, which stops what is over the number of workers: once the newest answer."""
        signals: list[int] = []
        give_up_at = monotonic() + BOOT_SECONDS
        while self._is_replacing() and monotonic() < give_up_at and not STOP & set(signals):
            signals += self.wait_for_signals(timeout=LOOK_SECONDS)
            self.reap_workers()
        for signum in signals:
            self.SIG_QUEUE.put(signum)
        super().manage_workers()

    def reap_workers(self) -> None:
        """gunicorn's, which stops the service when a worker can't boot: here only if no other answers."""
        try:
            super().reap_workers()
        except HaltServer as fault:
            if not any(map(_answers, self.WORKERS.values())):
                raise
            if self._before is None:
                self.log.error("cannot start a worker, the others go on: %s", fault.reason)  # noqa: TRY400
                sleep(RETRY_SECONDS)
            else:
                self.log.error("cannot reload, the old workers go on: %s", fault.reason)  # noqa: TRY400
                self._go_back()

    def _go_back(self) -> None:
        """Stop the new workers, and go on with the settings of the old ones."""
        for name in self.cfg.env:
            os.environ.pop(name, None)
        os.environ |= {name: self.cfg.env_orig[name] for name in self.cfg.env if name in self.cfg.env_orig}
        self.app.cfg, self._before = self._before, None
        self.setup(self.app)
        for pid in self.WORKERS.keys() - self._old:
            self.kill_worker(pid, SIGTERM)

    def _is_replacing(self) -> bool:
        newest = sorted(self.WORKERS.values(), key=lambda worker: worker.age)[-self.num_workers :]
        return len(self.WORKERS) > self.num_workers and not all(map(_answers, newest))


def _answers(worker: Worker) -> bool:
    """Has it given a sign of life yet? Until then its file has the time of the wall clock, which is far ahead."""
    last: float = worker.tmp.last_update()
    return last <= monotonic()
