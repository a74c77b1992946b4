"""A task is opened from its file or from a copy that got further; a former owner's last copy is waited for."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from deploy.simulation.memory_files import MemoryFiles
from shared.runtime import task_file
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.copies import Copies
from shared.runtime.full_disks import DiskFull
from shared.runtime.open_files import HAND_OVER_S, Files, OpenFiles
from shared.runtime.step import Wait
from shared.runtime.task_file import Changes, FileCopy, TaskFile
from shared.runtime.task_folder import TaskFolder
from tests.memory_host import AtOnce

TASK, MEMBERSHIP = "monitoring/join/joins.fraud.v1/0", "membership 2"


class Bench:
    """A new owner of a task, at `now_s`."""

    def __init__(self, files: Files | None = None) -> None:
        self.copies = Copies(ArtifactStore.at("memory:"), "log-1")
        self.now_s = 0.0
        self.disk = MemoryFiles()
        self.files = files or self.disk
        self._opener = OpenFiles(self.files, lambda: self.copies, AtOnce(), lambda: self.now_s)

    def open(self, handed_over: str | None = MEMBERSHIP) -> TaskFile:
        return self._opener.open(TASK, handed_over)


def at(position: int) -> FileCopy:
    """The copy of a file that got so far."""
    file = TaskFile(TASK, None)
    file.commit(Changes(0, position))
    return file.copier()()


def test_a_new_owner_waits_for_the_last_copy_of_the_former_one() -> None:
    bench = Bench()
    bench.copies.keep(TASK, at(4))
    with pytest.raises(Wait, match="hands it over"):
        bench.open()
    bench.copies.hand_over(TASK, "membership 1", at(6))  # of an earlier time
    with pytest.raises(Wait, match="hands it over"):
        bench.open()
    bench.copies.hand_over(TASK, MEMBERSHIP, at(9))
    assert bench.open().position == 9


def test_it_does_not_wait_for_long() -> None:
    bench = Bench()
    bench.copies.keep(TASK, at(4))
    with pytest.raises(Wait):
        bench.open()
    bench.now_s += HAND_OVER_S
    assert bench.open().position == 4


def test_where_nobody_hands_over_nothing_is_waited_for() -> None:
    assert Bench().open(None).position == 0


def test_a_file_that_got_further_than_its_copies_stays() -> None:
    bench = Bench()
    bench.files.open(TASK).commit(Changes(0, 7))
    bench.copies.keep(TASK, at(4))
    assert bench.open(None).position == 7


def test_a_full_disk_takes_no_new_file_and_one_that_is_there_is_only_read() -> None:
    bench = Bench()
    bench.disk.fill()
    with pytest.raises(DiskFull, match="goes on by itself once there is room"):
        bench.open(None)
    bench.disk.free()
    file = bench.open(None)
    file.commit(Changes(0, 7))
    bench.disk.fill()
    again = bench.files.open(TASK)
    assert again.position == 7
    with pytest.raises(DiskFull):
        again.commit(Changes(7, 8))
    bench.disk.put_back(bench.disk.image())
    with pytest.raises(DiskFull):
        bench.files.open(TASK).commit(Changes(7, 8))
    bench.disk.free()
    bench.files.open(TASK).commit(Changes(7, 8))
    assert file.position == 7  # of the disk before
    assert bench.files.open(TASK).position == 8


def test_a_copy_for_which_there_is_no_room_is_put_in_place_by_a_later_call() -> None:
    bench = Bench()
    bench.files.open(TASK).commit(Changes(0, 3))
    bench.copies.keep(TASK, at(9))
    bench.disk.fill()
    with pytest.raises(DiskFull):
        bench.open(None)
    bench.disk.free()
    assert bench.open(None).position == 9


def test_a_copy_that_a_full_disk_does_not_take_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = TaskFile(TASK, tmp_path / "here.sqlite")
    file.commit(Changes(0, 3))

    def full(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(DiskFull, match="No space left"):
            file.restore(at(9))
    assert file.position == 3
    assert not list(tmp_path.glob("*.new"))
    file.restore(at(9))
    assert file.position == 9
    file.close()


def test_a_copy_in_place_that_there_is_no_room_to_open_is_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What SQLite keeps beside a file takes room too, and another process may have taken it."""
    bench = Bench(TaskFolder(tmp_path))
    with closing(bench.files.open(TASK)) as file:
        file.commit(Changes(0, 3))
    bench.copies.keep(TASK, at(9))
    full = sqlite3.OperationalError("disk I/O error")
    full.sqlite_errorcode = sqlite3.SQLITE_IOERR

    def refuse(*_: object) -> sqlite3.Connection:
        raise full

    with monkeypatch.context() as patched:
        patched.setattr(task_file, "connected", refuse)
        for _ in range(2):
            with pytest.raises(DiskFull):
                bench.open(None)
    opened = bench.open(None)
    assert opened.position == 9
    opened.commit(Changes(9, 10))
    opened.close()
    again = bench.files.open(TASK)
    assert again.position == 10
    again.close()
