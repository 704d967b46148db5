"""gunicorn's master process, with a HUP that leaves no gap: old workers answer until new ones do."""

import os
from signal import SIGINT, SIGQUIT, SIGTERM
from time import monotonic, sleep
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

STOP_SIGNALS = {SIGINT, SIGQUIT, SIGTERM}
BOOT_SECONDS = 60
"""How long new workers may take to load the app before the old ones stop all the same."""
CHECK_SECONDS = 0.1
RETRY_SECONDS = 1.0
"""How soon another worker is started after one that could not boot."""


class GaplessArbiter(Arbiter):
    """Stops old workers once as many new ones answer. A worker that can't boot stops nothing while another answers."""

    log: Logger
    _old_workers: frozenset[int] = frozenset()
    """The ids of the processes that a HUP replaces."""
    _old_settings: Any = None
    """The settings that they were started with, until workers have booted with the new ones."""

    def reload(self) -> None:
        """On HUP; if gunicorn.conf.py can't be read, or no worker boots with it, nothing changes."""
        self._old_settings = self.app.cfg
        self._old_workers = frozenset(self.WORKERS)
        try:
            super().reload()
        except SystemExit as error:
            if os.getpid() != self.pid:
                raise  # This is a worker, which was forked in there, and ends.
            self.app.cfg = self._old_settings
            self.log.error("cannot reload, going on with the settings as they were: %s", error)  # noqa: TRY400
        self._old_settings = None

    def manage_workers(self) -> None:
        """Wait until the newest workers answer, then have gunicorn stop those above the wanted number."""
        signals: list[int] = []
        give_up_at = monotonic() + BOOT_SECONDS
        while self._is_replacing() and monotonic() < give_up_at and not STOP_SIGNALS & set(signals):
            signals += self.wait_for_signals(timeout=CHECK_SECONDS)
            self.reap_workers()
        for signum in signals:
            self.SIG_QUEUE.put(signum)
        super().manage_workers()

    def reap_workers(self) -> None:
        """Stop the service when a worker can't boot, as gunicorn does, but only if no other answers."""
        try:
            super().reap_workers()
        except HaltServer as error:
            if not any(map(_answers, self.WORKERS.values())):
                raise
            if self._old_settings is None:
                self.log.error("cannot start a worker, the others go on: %s", error.reason)  # noqa: TRY400
                sleep(RETRY_SECONDS)
            else:
                self.log.error("cannot reload, the old workers go on: %s", error.reason)  # noqa: TRY400
                self._roll_back()

    def _roll_back(self) -> None:
        """Stop the new workers, and restore the settings of the old ones."""
        for name in self.cfg.env:
            os.environ.pop(name, None)
        os.environ |= {name: self.cfg.env_orig[name] for name in self.cfg.env if name in self.cfg.env_orig}
        self.app.cfg, self._old_settings = self._old_settings, None
        self.setup(self.app)
        for pid in self.WORKERS.keys() - self._old_workers:
            self.kill_worker(pid, SIGTERM)

    def _is_replacing(self) -> bool:
        newest = sorted(self.WORKERS.values(), key=lambda worker: worker.age)[-self.num_workers :]
        return len(self.WORKERS) > self.num_workers and not all(map(_answers, newest))


def _answers(worker: Worker) -> bool:
    """Has it sent its first heartbeat? Until then its file has the time of the wall clock, which is far ahead."""
    heartbeat_at: float = worker.tmp.last_update()
    return heartbeat_at <= monotonic()
