"""The file by which the processes of one host agree on what is told from when on."""

import fcntl
import multiprocessing
import os
from pathlib import Path
from time import monotonic, sleep
from zlib import crc32

import pytest
import sqlalchemy as sa

from flagsched.database import announcements
from flagsched.database.announcements import CHECKSUM, PENDING, RECORD, SETTLED, announcements_of
from flagsched.snapshots.announcements import LEASE_SECONDS, Announcement, DatabaseRead

HOUR = 3600


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flagsched" / "database"


class Board(announcements.HostAnnouncements):
    """That of a process, by what it reads alone."""

    def read(self) -> Announcement | None:
        return self.latest().announcement


def board_at(path: Path) -> Board:
    return Board(path.name, path.parent)


def a_read(total: int) -> DatabaseRead:
    now = monotonic()
    return DatabaseRead(total, now, now)


def announce_in_turns(path: Path, totals: list[int]) -> None:
    board = board_at(path)
    for total in totals:
        board.announce(a_read(total))


def test_what_one_process_announces_another_reads(path: Path) -> None:
    announced = board_at(path).announce(a_read(7))

    assert announced is not None
    assert board_at(path).read() == announced
    assert announced.effective_at - monotonic() <= LEASE_SECONDS


def test_of_many_processes_that_announce_at_once_the_latest_is_whole(path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=announce_in_turns, args=(path, list(range(n, 2000, 4)))) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)

    latest = board_at(path).read()

    assert [process.exitcode for process in processes] == [0] * 4
    assert latest is not None
    assert latest.change.total in range(2000)
    assert latest.change.read_at <= monotonic()


def test_what_was_announced_before_the_host_was_booted_is_passed_over(path: Path) -> None:
    board = board_at(path)
    board.announce(a_read(7))
    record = RECORD.pack(7, monotonic() + HOUR, monotonic() + HOUR, 6, monotonic())
    path.write_bytes(SETTLED + record + CHECKSUM.pack(crc32(record)))

    assert board.read() is None
    announced = board.announce(a_read(1))

    assert announced is not None
    assert announced.change.total == 1


def test_while_an_announcement_is_pending_it_is_read_under_the_lock(path: Path) -> None:
    board, writer = board_at(path), board_at(path)
    announced = board.announce(a_read(1))
    assert board.read() == announced
    with path.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(PENDING)
        file.flush()

        began_at = monotonic()
        latest = board.latest()

    assert latest.announcement == announced
    assert monotonic() - began_at >= announcements.LOCK_SECONDS
    assert writer.announce(a_read(2)) == board.read()


def test_a_process_that_waits_for_nobody_reads_what_another_announces_at_once(path: Path) -> None:
    one, other = board_at(path), board_at(path)
    one.announce(a_read(0))
    other.announce(a_read(0))

    read = [(one.announce(a_read(total)), other.read()) for total in range(1, 1000)]

    assert all(mine == theirs for mine, theirs in read)


def test_a_file_that_somebody_cleaned_away_is_made_anew(path: Path) -> None:
    one, other = board_at(path), board_at(path)
    one.announce(a_read(1))
    path.unlink()

    announced = one.announce(a_read(2))

    assert announced is not None
    assert announced.change.total == 2
    assert other.read() == one.read() == announced


def test_a_folder_that_others_may_write_to_is_not_used(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o777)
    board = board_at(path)

    assert board.announce(a_read(1)) is None
    assert board.read() is None
    assert not path.exists()


def test_the_file_is_this_users_alone(path: Path) -> None:
    previous = os.umask(0)
    try:
        board_at(path).announce(a_read(1))
    finally:
        os.umask(previous)

    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_urls_that_differ_by_user_alone_name_one_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    urls = ["postgresql://ada:secret@db/flags", "postgresql://bob:other@db/flags", "postgresql://db/others"]
    one, same, other = (announcements_of(sa.make_url(url)) for url in urls)

    one.announce(a_read(1))

    assert same.latest().announcement == one.latest().announcement
    assert other.latest().announcement is None


def test_a_process_that_was_stopped_with_the_lock_holds_up_the_others_for_a_moment_alone(path: Path) -> None:
    board = board_at(path)
    board.announce(a_read(1))
    holder = path.open("rb+")
    fcntl.flock(holder, fcntl.LOCK_EX)

    began_at = monotonic()
    looked = [board.latest() for _ in range(200)]
    took = monotonic() - began_at
    holder.close()

    assert took < 3 * announcements.LOCK_SECONDS
    assert {one.announcement.change.total for one in looked if one.announcement} == {1}
    assert all(monotonic() - one.read_at < took + 1 for one in looked)


def test_trouble_with_the_file_raises_nothing_and_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcements, "RETRY_SECONDS", 0.05)
    folder = tmp_path / "flagsched"
    folder.touch()
    board = Board("database", folder)

    assert board.announce(a_read(1)) is None
    assert board.read() is None
    folder.unlink()
    sleep(0.1)

    assert board.announce(a_read(1)) == board.read() is not None


def test_where_nothing_can_be_written_temporarily_each_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_folder() -> str:
        raise FileNotFoundError("no usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", no_folder)

    board = announcements_of(sa.make_url("postgresql://db/flags"))

    assert board.announce(a_read(1)) is None
    assert board.latest().announcement is None


def test_two_files_of_one_relative_name_are_two_databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    boards = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        boards.append(announcements_of(sa.make_url("sqlite:///app.db")))

    boards[0].announce(a_read(1))

    assert boards[1].latest().announcement is None
