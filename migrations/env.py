"""Alembic's environment: runs the revisions on a given connection, or on the Flask app's engine."""

import sqlalchemy as sa
from alembic import context
from flask import current_app, has_app_context

from flagsched.database.connections.sqlite import make_file
from flagsched.database.schema.migrations import configure_arguments


def migrate_on(connection: sa.Connection) -> None:
    """Run the revisions in one transaction."""
    if connection.dialect.name == "postgresql":
        # A backfill may take longer than a request; waiting for a lock may not.
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    context.configure(connection=connection, **configure_arguments())
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate_on(given)
elif has_app_context():
    engine = current_app.extensions["migrate"].db.engine
    make_file(engine)
    with engine.begin() as connection:
        migrate_on(connection)
else:
    raise RuntimeError("run 'flagsched db upgrade' or 'flask --app wsgi db upgrade'")
