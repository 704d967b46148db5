"""The latest announcement, in a file that all processes of one user on this host share."""

import fcntl
import os
import stat
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from time import monotonic, sleep, time

import sqlalchemy as sa
import structlog

from flagsched.usecases.announcements import LEASE_SECONDS, Announcement, Change, DatabaseRead, after_read

RECORD = struct.Struct("<qddqd")
LOCK_TRIES = 50
LOCK_WAIT_SECONDS = 0.001
TOUCH_SECONDS = 3600
"""How old the file's date may become: programs that clean temporary folders go by it."""

log = structlog.get_logger("flagsched.snapshot")


class HostAnnouncements:
    """Implements `usecases.announcements.Announcements`. Opens the file when it is first used, anew in each process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._file: int | None = None
        self._failed = False

    def latest(self) -> Announcement | None:
        """The latest one of this boot of the host."""
        with self._lock:
            file = self._open()
            if file is None:
                return None
            # Its writer looks at the clock under its lock: no lease begins between that and the writing.
            with _locked(file, fcntl.LOCK_SH):
                return _read(file)

    def announce(self, read: DatabaseRead) -> Announcement | None:
        """Announce a read if it is news; gives what is the latest then."""
        with self._lock:
            file = self._reopened()
            if file is None:
                return None
            with _locked(file, fcntl.LOCK_EX):
                latest = _read(file)
                announced = after_read(latest, read, monotonic())
                if announced != latest:
                    os.pwrite(file, RECORD.pack(*announced.change, announced.told_from, *announced.before), 0)
                return announced

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def __del__(self) -> None:
        self.close()

    def _reopened(self) -> int | None:
        """The file under this name by now: somebody may have cleaned the folder."""
        file = self._open()
        if file is None:
            return None
        with suppress(OSError):
            found, ours = self._path.stat(), os.fstat(file)
            if (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino):
                if time() - ours.st_mtime > TOUCH_SECONDS:
                    os.utime(file)
                return file
        self.close()
        return self._open()

    def _open(self) -> int | None:
        if self._file is None and not self._failed:
            try:
                _make_private(self._path.parent)
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            except OSError as error:
                self._failed = True
                log.warning("processes share no announcements", cause=str(error))
        return self._file


def announcements_of(url: sa.URL) -> HostAnnouncements:
    """Those of all processes of this user that name the same database."""
    named = repr((url.host, url.port, url.database, sorted(url.query.items())))
    name = blake2b(named.encode(), digest_size=16).hexdigest()
    return HostAnnouncements(Path(tempfile.gettempdir()) / f"flagsched-{os.getuid()}" / name)


def _make_private(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    # In a folder that others may write to, the name could have been taken by somebody else.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder that this user alone may use")


@contextmanager
def _locked(file: int, operation: int) -> Iterator[None]:
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(file, operation | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            sleep(LOCK_WAIT_SECONDS)
    # A process that holds it for so long was stopped amid a few microseconds' work: go on without it.
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _read(file: int) -> Announcement | None:
    record = os.pread(file, RECORD.size, 0)
    if len(record) < RECORD.size:
        return None
    total, read_at, told_from, *before = RECORD.unpack(record)
    now = monotonic()
    # The host's clock begins anew when it boots, and the file may stay.
    is_of_this_boot = read_at <= now and told_from <= now + LEASE_SECONDS
    return Announcement(Change(total, read_at), told_from, Change(*before)) if is_of_this_boot else None
