"""gunicorn's master process, with a HUP that leaves no gap: old workers answer until new ones do."""

import os
from signal import SIGINT, SIGQUIT, SIGTERM
from time import monotonic

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

STOP = {SIGINT, SIGQUIT, SIGTERM}
BOOT_SECONDS = 60
"""How long new workers may take to load the app before the old ones stop all the same."""
LOOK_SECONDS = 0.1


class GaplessArbiter(Arbiter):
    """Stops old workers once as many new ones answer; if those can't start, the old ones stay."""

    log: Logger
    _old: frozenset[int] = frozenset()
    """The processes that a HUP replaces."""

    def reload(self) -> None:
        """On HUP; if gunicorn.conf.py can't be read, nothing changes."""
        before = self.app.cfg
        self._old = frozenset(self.WORKERS)
        try:
            super().reload()
        except SystemExit as fault:
            if os.getpid() != self.pid:
                raise  # This is a worker, which was forked in there, and ends.
            self.app.cfg = before
            self.log.error("cannot reload, going on with the settings as they were: %s", fault)  # noqa: TRY400

    def manage_workers(self) -> None:
        """gunicorn's, which stops what is over the number of workers: once the newest answer."""
        signals: list[int] = []
        give_up_at = monotonic() + BOOT_SECONDS
        while self._is_replacing() and monotonic() < give_up_at and not STOP & set(signals):
            signals += self.wait_for_signals(timeout=LOOK_SECONDS)
            self._reap()
        for signum in signals:
            self.SIG_QUEUE.put(signum)
        super().manage_workers()

    def _is_replacing(self) -> bool:
        newest = sorted(self.WORKERS.values(), key=lambda worker: worker.age)[-self.num_workers :]
        return len(self.WORKERS) > self.num_workers and not all(map(_answers, newest))

    def _reap(self) -> None:
        """A new worker that can't start does not stop the service, as it does when the service starts."""
        try:
            self.reap_workers()
        except HaltServer as fault:
            self.log.error("cannot reload, the old workers go on: %s", fault.reason)  # noqa: TRY400
            self.num_workers = len(self._old & self.WORKERS.keys())
            for pid in self.WORKERS.keys() - self._old:
                self.kill_worker(pid, SIGTERM)


def _answers(worker: Worker) -> bool:
    """Has it given a sign of life yet? Until then its file has the time of the wall clock, which is far ahead."""
    last: float = worker.tmp.last_update()
    return last <= monotonic()
