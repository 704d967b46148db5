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
"""How the file begins; the record and its checksum follow. While it is pending, only the lock says what holds."""
FILE_SIZE = len(SETTLED) + RECORD.size + CHECKSUM.size
CHECK_SECONDS = 0.1
"""How long the memory is read without a look whether the file still stands in its folder."""
LOCK_SECONDS = 0.05
"""How long the lock is waited for: it is held for some microseconds."""
LOCK_WAIT_SECONDS = 0.001
RETRY_SECONDS = 1.0
"""How soon a lock that somebody keeps, or a file that fails, is tried again."""
TOUCH_SECONDS = 3600
"""How old the file's date may become: programs that clean temporary folders go by it."""

log = structlog.get_logger("flagsched.snapshot")


class HostAnnouncements:
    """Implements `usecases.announcements.Announcements`. Opens the file when it is first used, anew in each process."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        """In `folder`, else in one of this user's own under the temporary folder."""
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
        """The latest one of this boot of the host."""
        return self._latest_in_memory() or self._latest_in_file()

    def _latest_in_memory(self) -> Latest | None:
        """As the file is mapped: each system call lets go of the interpreter, which threads in a hurry wait for."""
        memory, read_at = self._memory, monotonic()
        if memory is None or read_at - self._checked_at > CHECK_SECONDS:
            return None
        content = memory[:FILE_SIZE]
        # Its writer looks at the clock while it is pending: no lease begins between that and the writing.
        return Latest(_parse(content, read_at), read_at) if _is_settled(content) else None

    def _latest_in_file(self) -> Latest:
        with self._lock:
            # The same holds of the lock.
            found = self._with_file(fcntl.LOCK_SH, lambda file: Latest(*_read(file)))
            return found or Latest(None, monotonic())

    def announce(self, read: DatabaseRead) -> Announcement | None:
        """Announce a read if it is news; gives what is the latest then."""
        with self._lock:
            return self._with_file(fcntl.LOCK_EX, lambda file: _announce(file, read))

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        file, self._file = self._file, None
        self._memory = None
        if file is not None:
            os.close(file)

    def __del__(self) -> None:
        self.close()

    def _with_file(self, operation: int, work: Callable[[int], Result]) -> Result | None:
        """None if the file can't be used now; that is tried again a second later."""
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
            found = os.fstat(self._file)
            if found.st_nlink:
                if time() - found.st_mtime > TOUCH_SECONDS:
                    os.utime(self._file)
                self._checked_at = monotonic()
                return self._file
            self.close()  # Somebody has cleaned the folder: the others make the file anew, too.
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
        # A process may be stopped amid its microseconds of work: nobody waits for it again and again.
        patience = LOCK_SECONDS if monotonic() - self._lock_failed_at > RETRY_SECONDS else 0.0
        give_up_at = monotonic() + patience
        while not _try_lock(file, operation):
            if monotonic() >= give_up_at:
                self._lock_failed_at = monotonic() if patience else self._lock_failed_at
                break
            sleep(LOCK_WAIT_SECONDS)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def announcements_of(url: sa.URL) -> HostAnnouncements:
    """Those of all processes of this user that name the same database."""
    is_file = url.get_backend_name() == "sqlite"
    database = str(Path(str(url.database)).resolve()) if is_file else url.database
    named = repr((url.host, url.port, database, sorted(url.query.items())))
    return HostAnnouncements(blake2b(named.encode(), digest_size=16).hexdigest())


def _make_private(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    # In a folder that others may write to, the name could have been taken by somebody else.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
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
        # A process that was stopped in between has been passed over: another announcement may stand there now.
        if monotonic() - read_at < LOCK_SECONDS / 2:
            os.pwrite(file, record + CHECKSUM.pack(crc32(record)), len(PENDING))
            os.pwrite(file, SETTLED, 0)
            return announced


def _is_settled(content: bytes) -> bool:
    return content.startswith(SETTLED) and _record(content) is not None


def _record(content: bytes) -> bytes | None:
    """None if there is none yet, or one that is written just now."""
    record, checksum = content[len(SETTLED) : -CHECKSUM.size], content[-CHECKSUM.size :]
    return record if len(content) == FILE_SIZE and checksum == CHECKSUM.pack(crc32(record)) else None


def _read(file: int) -> tuple[Announcement | None, float]:
    now = monotonic()
    return _parse(os.pread(file, FILE_SIZE, 0), now), now


def _parse(content: bytes, now: float) -> Announcement | None:
    record = _record(content)
    if record is None:
        return None
    total, read_at, effective_at, *before = RECORD.unpack(record)
    # The host's clock begins anew when it boots, and the file may stay.
    is_of_this_boot = read_at <= now and effective_at <= now + LEASE_SECONDS
    return Announcement(Change(total, read_at), effective_at, Change(*before)) if is_of_this_boot else None
