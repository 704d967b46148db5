"""The background worker: `python worker.py`."""

from flagsched.bootstrap.worker import main

if __name__ == "__main__":
    main()
