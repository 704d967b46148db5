"""A process whose host has another time: `python -m tests.faults.skewed SECONDS worker|web`."""

import sys
from datetime import UTC, datetime, timedelta

import time_machine
from gunicorn.app.wsgiapp import run as serve

from flagsched.bootstrap.worker import main as work


def main(seconds: str, what: str) -> None:
    """Work or serve so many seconds ahead of everybody else; what it forks is ahead too."""
    sys.argv = ["gunicorn", "wsgi:app"]
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=float(seconds)), tick=True):
        {"worker": work, "web": serve}[what]()


if __name__ == "__main__":
    main(*sys.argv[1:])
