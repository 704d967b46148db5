"""The file by which the processes of one host agree on what is told from when on."""

import multiprocessing
import os
from pathlib import Path
from time import monotonic

import pytest
import sqlalchemy as sa

from flagsched.database.announcements import RECORD, HostAnnouncements, announcements_of
from flagsched.usecases.announcements import LEASE_SECONDS, DatabaseRead

HOUR = 3600


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flagsched" / "database"


def a_read(total: int) -> DatabaseRead:
    now = monotonic()
    return DatabaseRead(total, now, now)


def announce_in_turns(path: Path, totals: list[int]) -> None:
    board = HostAnnouncements(path)
    for total in totals:
        board.announce(a_read(total))


def test_what_one_process_announces_another_reads(path: Path) -> None:
    announced = HostAnnouncements(path).announce(a_read(7))

    assert announced is not None
    assert HostAnnouncements(path).latest() == announced
    assert announced.told_from - monotonic() <= LEASE_SECONDS


def test_of_many_processes_that_announce_at_once_the_latest_is_whole(path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=announce_in_turns, args=(path, list(range(n, 2000, 4)))) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)

    latest = HostAnnouncements(path).latest()

    assert [process.exitcode for process in processes] == [0] * 4
    assert latest is not None
    assert latest.change.total in range(2000)
    assert latest.change.read_at <= monotonic()


def test_what_was_announced_before_the_host_was_booted_is_passed_over(path: Path) -> None:
    board = HostAnnouncements(path)
    board.announce(a_read(7))
    path.write_bytes(RECORD.pack(7, monotonic() + HOUR, monotonic() + HOUR, 6, monotonic()))

    assert board.latest() is None
    announced = board.announce(a_read(1))

    assert announced is not None
    assert announced.change.total == 1


def test_a_file_that_somebody_cleaned_away_is_made_anew(path: Path) -> None:
    one, other = HostAnnouncements(path), HostAnnouncements(path)
    one.announce(a_read(1))
    path.unlink()

    announced = one.announce(a_read(2))
    other.announce(a_read(2))

    assert other.latest() == one.latest() == announced


def test_a_folder_that_others_may_write_to_is_not_used(path: Path) -> None:
    path.parent.mkdir()
    path.parent.chmod(0o777)
    board = HostAnnouncements(path)

    assert board.announce(a_read(1)) is None
    assert board.latest() is None
    assert not path.exists()


def test_the_file_is_this_users_alone(path: Path) -> None:
    previous = os.umask(0)
    try:
        HostAnnouncements(path).announce(a_read(1))
    finally:
        os.umask(previous)

    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_urls_that_differ_by_user_alone_name_one_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    urls = ["postgresql://ada:secret@db/flags", "postgresql://bob:other@db/flags", "postgresql://db/others"]
    one, same, other = (announcements_of(sa.make_url(url)) for url in urls)

    one.announce(a_read(1))

    assert same.latest() == one.latest()
    assert other.latest() is None
