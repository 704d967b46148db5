"""How much is stored: rows and bytes; of SQLite's files also who may read them, and the disk's free space."""

import os
from datetime import datetime
from pathlib import Path
from stat import S_IMODE

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import REGCLASS

from flagsched.database.schema.tables import flags, history, idempotency, metadata, overrides, plans, schedules
from flagsched.ports.doctor import Stored

OTHERS = 0o077
COUNTS = {
    "entries of history": sa.select(sa.func.count()).select_from(history),
    "schedules": sa.select(sa.func.count()).select_from(schedules),
    "flags": sa.select(sa.func.count()).select_from(flags).where(flags.c.archived_at.is_(None)),
    "archived flags": sa.select(sa.func.count()).select_from(flags).where(flags.c.archived_at.is_not(None)),
    "plans": sa.select(sa.func.count()).select_from(plans),
    "overrides": sa.select(sa.func.count()).select_from(overrides),
    "kept answers": sa.select(sa.func.count()).select_from(idempotency),
}


def measure(connection: sa.Connection, forgotten_before: datetime) -> Stored:
    """Count and measure everything stored."""
    rows = {name: int(connection.execute(count).scalar_one()) for name, count in COUNTS.items()}
    expired = sa.select(sa.func.count()).select_from(idempotency).where(idempotency.c.created_at < forgotten_before)
    kept_too_long = int(connection.execute(expired).scalar_one())
    if connection.dialect.name == "sqlite":
        return _of_file(Path(str(connection.engine.url.database)), rows, kept_too_long)
    sizes = [sa.func.pg_total_relation_size(sa.cast(name, REGCLASS)) for name in metadata.tables]
    return Stored(rows, kept_too_long, sum(connection.execute(sa.select(*sizes)).one()))


def _of_file(path: Path, rows: dict[str, int], kept_too_long: int) -> Stored:
    wal = Path(f"{path}-wal")
    files = [file for file in (path, wal, Path(f"{path}-shm")) if file.exists()]
    disk = os.statvfs(path.parent)
    return Stored(
        rows,
        kept_too_long,
        database_bytes=path.stat().st_size,
        wal_bytes=wal.stat().st_size if wal.exists() else 0,
        free_bytes=disk.f_bavail * disk.f_frsize,
        open_files=[str(file) for file in files if S_IMODE(file.stat().st_mode) & OTHERS],
    )
