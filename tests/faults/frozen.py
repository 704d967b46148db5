"""A worker that hangs in its transaction, before it tells the history: `python -m tests.faults.frozen`."""

from threading import Event
from typing import Any

import sqlalchemy as sa

from flagsched.bootstrap.worker import main


def hang(connection: sa.Connection, cursor: Any, statement: str, *_: object) -> None:
    """Hold what was claimed, and do nothing more."""
    del connection, cursor
    if "INSERT INTO feature_flag_history" in statement:
        print("hanging", flush=True)
        Event().wait()


if __name__ == "__main__":
    sa.event.listen(sa.Engine, "before_cursor_execute", hang)
    main()
