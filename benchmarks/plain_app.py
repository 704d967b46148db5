"""The ceiling of the bulk: a Flask app that parses the body and does one INSERT, and nothing else that ours does."""

import os
import threading
from datetime import datetime
from itertools import count
from typing import Any
from uuid import uuid4

from flask import Flask, request
from psycopg2.extras import Json, execute_values

from benchmarks.driver import connect

INSERT = """
    INSERT INTO feature_flag_schedules (id, flag_id, seq, batch_id, scheduled_at, updates, status, created_by,
                                        created_at, updated_at) VALUES %s
"""
ROW = "(%s, %s, %s, %s, %s, %s, 'pending', 'ada', now(), now())"

app = Flask(__name__)
own = threading.local()
seqs = count(1)
flags: dict[str, str] = {}


@app.post("/plain/<key>")
def create(key: str) -> tuple[dict[str, int], int]:
    """Store the changes of the body."""
    changes = request.get_json()["schedules"]
    connection = _connection()
    batch_id = uuid4()
    rows = [
        (uuid4(), flags[key], next(seqs), batch_id, datetime.fromisoformat(c["scheduledAt"]), Json(c["updates"]))
        for c in changes
    ]
    with connection.cursor() as cursor:
        execute_values(cursor, INSERT, rows, ROW, page_size=len(rows))
    connection.commit()
    return {"schedules": len(rows)}, 201


def _connection() -> Any:
    """This thread's own."""
    if not hasattr(own, "connection"):
        own.connection = connect(os.environ["DATABASE_URL"])
        with own.connection.cursor() as cursor:
            cursor.execute("SELECT key, id FROM feature_flags")
            flags.update(cursor.fetchall())
    return own.connection
