"""Which statements reach the database."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa


@contextmanager
def recorded(engine: sa.Engine) -> Iterator[list[str]]:
    """Collect the statements that the driver is given while the block runs."""
    statements: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        del connection, cursor, rest
        statements.append(" ".join(statement.split()))

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def inserts(statements: list[str], table: str) -> int:
    """How often they insert into `table`."""
    return sum(statement.count(f"INSERT INTO {table} ") for statement in statements)
