"""The latest announcement, in a file that all processes of one user on this host share."""

import fcntl
import mmap
import os
import stat
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from time import monotonic, sleep, time
from typing import TypeVar
from zlib import crc32

import sqlalchemy as sa
import structlog

from flagsched.snapshots.announcements import LEASE_SECONDS, Announcement, Change, DatabaseRead, Latest, after_read

Result = TypeVar("Result")
RECORD = struct.Struct("<qddqd")
CHECKSUM = struct.Struct("<q")
SETTLED, PENDING = b"\0" * 8, b"\1" * 8
"""How the file begins; the record and its checksum follow. A pending file may be read only under the lock."""
FILE_SIZE = len(SETTLED) + RECORD.size + CHECKSUM.size
CHECK_SECONDS = 0.1
"""How long the mapped memory is read without checking that the file is still in its folder."""
LOCK_SECONDS = 0.05
"""How long to wait for the lock, which is held for some microseconds."""
LOCK_WAIT_SECONDS = 0.001
RETRY_SECONDS = 1.0
"""How soon to retry a lock that another process keeps, or a file that fails."""
TOUCH_SECONDS = 3600
"""How old the file's date may become: programs that clean temporary folders delete old files."""

log = structlog.get_logger("flagsched.snapshot")


class HostAnnouncements:
    """Implements `snapshots.announcements.Announcements`. Opens the file at its first use in each process."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        """The file is in `folder`, or in this user's own folder under the temporary folder."""
        self._name = name
        self._folder = folder
        self._lock = Lock()
        self._file: int | None = None
        self._memory: mmap.mmap | None = None
        self._checked_at = float("-inf")
        self._failed_at = float("-inf")
        self._lock_failed_at = float("-inf")
        self._has_warned = False

    def latest(self) -> Latest:
        """The latest announcement since the host was booted."""
        return self._latest_in_memory() or self._latest_in_file()

    def _latest_in_memory(self) -> Latest | None:
        """Read the mapped file without a system call, since each one releases the GIL."""
        memory, read_at = self._memory, monotonic()
        if memory is None or read_at - self._checked_at > CHECK_SECONDS:
            return None
        content = memory[:FILE_SIZE]
        record = _record(content) if content.startswith(SETTLED) else None
        # Its writer reads the clock while the file is pending: no lease begins between that and the writing.
        return None if record is None else Latest(_announcement(record, read_at), read_at)

    def _latest_in_file(self) -> Latest:
        with self._lock:
            # Its writer reads the clock under the lock, too.
            return self._with_file(fcntl.LOCK_SH, lambda file: Latest(*_read(file))) or Latest(None, monotonic())

    def announce(self, read: DatabaseRead) -> Announcement | None:
        """Announce a read if it has a new change; returns the latest announcement then."""
        with self._lock:
            return self._with_file(fcntl.LOCK_EX, lambda file: _announce(file, read))

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        file, self._file = self._file, None
        self._memory = None
        if file is not None:
            os.close(file)

    def __del__(self) -> None:
        self.close()

    def _with_file(self, operation: int, work: Callable[[int], Result]) -> Result | None:
        """None if the file can't be used now; the next try is RETRY_SECONDS later."""
        if monotonic() - self._failed_at < RETRY_SECONDS:
            return None
        try:
            file = self._open()
            with self._locked(file, operation):
                return work(file)
        except OSError as error:
            self._failed_at = monotonic()
            self.close()
            if not self._has_warned:
                log.warning("processes share no announcements", cause=str(error))
            self._has_warned = True
            return None

    def _open(self) -> int:
        if self._file is not None:
            status = os.fstat(self._file)
            if status.st_nlink:
                if time() - status.st_mtime > TOUCH_SECONDS:
                    os.utime(self._file)
                self._checked_at = monotonic()
                return self._file
            self.close()  # The folder was cleaned: all processes go on with a new file.
        folder = self._folder or Path(tempfile.gettempdir()) / f"flagsched-{os.getuid()}"
        _make_private(folder)
        self._file = file = os.open(folder / self._name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with self._locked(file, fcntl.LOCK_EX):
            if os.fstat(file).st_size < FILE_SIZE:
                os.pwrite(file, PENDING + bytes(FILE_SIZE - len(PENDING)), 0)
        self._memory = mmap.mmap(file, FILE_SIZE, access=mmap.ACCESS_READ)
        self._checked_at = monotonic()
        return file

    @contextmanager
    def _locked(self, file: int, operation: int) -> Iterator[None]:
        # A process may be suspended while it holds the lock: don't wait for it again and again.
        wait_seconds = LOCK_SECONDS if monotonic() - self._lock_failed_at > RETRY_SECONDS else 0.0
        give_up_at = monotonic() + wait_seconds
        while not _try_lock(file, operation):
            if monotonic() >= give_up_at:
                self._lock_failed_at = monotonic() if wait_seconds else self._lock_failed_at
                break
            sleep(LOCK_WAIT_SECONDS)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def announcements_of(url: sa.URL) -> HostAnnouncements:
    """Shared by all processes of this user with the same database."""
    is_file = url.get_backend_name() == "sqlite"
    database = str(Path(str(url.database)).resolve()) if is_file else url.database
    name = repr((url.host, url.port, database, sorted(url.query.items())))
    return HostAnnouncements(blake2b(name.encode(), digest_size=16).hexdigest())


def _make_private(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    # Other users may write to the temporary folder, and could have made this one.
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder that this user alone may use")


def _try_lock(file: int, operation: int) -> bool:
    try:
        fcntl.flock(file, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _announce(file: int, read: DatabaseRead) -> Announcement:
    while True:
        latest, read_at = _read(file)
        if latest is not None and after_read(latest, read, read_at) == latest:
            return latest
        os.pwrite(file, PENDING, 0)
        read_at = monotonic()
        announced = after_read(latest, read, read_at)
        record = RECORD.pack(*announced.change, announced.effective_at, *announced.before)
        # If this process was suspended in between, another may have taken the lock and announced meanwhile.
        if monotonic() - read_at < LOCK_SECONDS / 2:
            os.pwrite(file, record + CHECKSUM.pack(crc32(record)), len(PENDING))
            os.pwrite(file, SETTLED, 0)
            return announced


def _record(content: bytes) -> bytes | None:
    """None if there is none yet, or if it is being written."""
    record, checksum = content[len(SETTLED) : -CHECKSUM.size], content[-CHECKSUM.size :]
    return record if len(content) == FILE_SIZE and checksum == CHECKSUM.pack(crc32(record)) else None


def _read(file: int) -> tuple[Announcement | None, float]:
    now = monotonic()
    record = _record(os.pread(file, FILE_SIZE, 0))
    return (None if record is None else _announcement(record, now)), now


def _announcement(record: bytes, now: float) -> Announcement | None:
    """None if it was made before the host was booted."""
    total, read_at, effective_at, *before = RECORD.unpack(record)
    # The monotonic clock restarts when the host boots, and the file may be older.
    is_of_this_boot = read_at <= now and effective_at <= now + LEASE_SECONDS
    return Announcement(Change(total, read_at), effective_at, Change(*before)) if is_of_this_boot else None
