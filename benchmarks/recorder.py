"""A process that records whatever is due, once for each line of its input."""

import gc
import os
import sys
from time import monotonic

import sqlalchemy as sa

from flagsched.database.connections.engine import Limits, open_engine
from flagsched.database.unit_of_work import SqlStore
from flagsched.usecases.backoff import Backoff
from flagsched.usecases.materialise import materialise_due


def main() -> None:
    """Print `ready` once it is, and `done` each time that nothing is left to be claimed."""
    store = SqlStore(open_engine(sa.make_url(os.environ["DATABASE_URL"]), Limits()))
    materialise_due(store, Backoff(monotonic))
    gc.freeze()  # As flagsched's worker does.
    print("ready", flush=True)
    for _ in sys.stdin:
        backoff = Backoff(monotonic)
        while (recorded := materialise_due(store, backoff)).flags:
            pass
        print("failed" if recorded.failed or backoff.known() else "done", flush=True)


if __name__ == "__main__":
    main()
