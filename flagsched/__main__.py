"""`python -m flagsched`."""

from flagsched.bootstrap.cli import main

main()
