"""Connections to a primary alone: the server itself says whether it takes writes."""

from collections.abc import Iterator, Mapping, Sequence
from random import SystemRandom
from typing import Any

import psycopg2

TAKES_WRITES = "NOT pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'off'"
"""Two columns for a SELECT: is the server a primary, and may this session write?"""
STANDBY = "the database's address leads to a standby, which takes no writes"
READ_ONLY = "the database takes no writes: default_transaction_read_only is on, for its role, database or server"
HOST_LISTS = ("host", "hostaddr", "port")


class NotPrimary(psycopg2.OperationalError):
    """The server takes no writes. `reason` says why, without naming the server."""

    def __init__(self, reason: str, cause: str = "") -> None:
        super().__init__(cause or reason)
        self.reason = reason


def refuse_unless_primary(primary: bool, writable: bool) -> None:
    """Raise NotPrimary unless both columns of TAKES_WRITES are true."""
    if not primary:
        raise NotPrimary(STANDBY)
    if not writable:
        raise NotPrimary(READ_ONLY)


def each_host(arguments: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The driver's arguments for one host after the other, where they name several as libpq has it: `a,b`."""
    lists = {name: str(arguments[name]).split(",") for name in HOST_LISTS if arguments.get(name)}
    number = max((len(values) for values in lists.values()), default=1)
    # A single port is that of all hosts; other numbers that differ are for libpq to refuse.
    if any(len(values) not in {number, 1 if name == "port" else number} for name, values in lists.items()):
        yield arguments
        return
    places = list(range(number))
    if arguments.get("load_balance_hosts") == "random":
        SystemRandom().shuffle(places)  # Not the generator that a host may have seeded.
    for place in places:
        yield {**arguments, **{name: values[place % len(values)] for name, values in lists.items()}}


def combined(errors: Sequence[psycopg2.OperationalError]) -> psycopg2.OperationalError:
    """One error for all hosts: NotPrimary if one of them answers but takes no writes."""
    if len(errors) == 1:
        return errors[0]
    cause = "\n".join(str(error).strip() for error in errors)
    reasons = [error.reason for error in errors if isinstance(error, NotPrimary)]
    return NotPrimary(reasons[0], cause) if reasons else psycopg2.OperationalError(cause)
