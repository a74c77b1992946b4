"""A commit that ends anywhere, as a kill or a power cut ends it, holds all of the batch or nothing; and a full disk."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from shared.runtime.full_disks import DiskFull
from shared.runtime.task_file import Changes, OutboxRow, Producer, Target, TaskFile
from shared.runtime.task_folder import TaskFolder

Held = dict[str, object]


def batch() -> Changes:
    """One of everything that a batch may change, behind an empty file."""
    return Changes(
        0, 3, meta={"ordinal": 1, "control": 7, "buffer:archive": 1}, state={"k": b"{}"}, timers={("k", "due"): 5},
        producers={"p": Producer(2, 9, 7)}, targets={("t", 0): Target(1, 0)},
        outbox=[OutboxRow(0, "t", 0, b"k", b"v", ())], buffers=[("archive", 0, b"row")], replays=["id"],
    )  # fmt: skip


def held(file: TaskFile) -> Held:
    return {
        "reached": file.reached,
        "meta": [file.meta(name) for name in ("control", "buffer:archive")],
        "state": list(file.states()),
        "timers": file.timers(),
        "producers": file.producers(),
        "targets": file.targets(),
        "outbox": file.outbox(),
        "buffers": file.buffered("archive", 0, 9),
        "replays": file.replays(),
    }


def interrupted(after: int) -> tuple[TaskFile, bool]:
    """A file whose commit ended after so many steps of SQLite's machine, and whether it did end there."""
    file, left = TaskFile("task", None), [after]

    def step() -> int:
        left[0] -= 1
        return int(left[0] == -1)  # once: what undoes the commit is let through

    file.connection.set_progress_handler(step, 1)
    try:
        file.commit(batch())
    except sqlite3.OperationalError:
        return file, True
    finally:
        file.connection.set_progress_handler(None, 1)
    return file, False


def test_wherever_a_commit_ends_the_file_holds_all_of_it_or_nothing() -> None:
    before, whole = held(TaskFile("task", None)), held(interrupted(10**9)[0])
    ends = 0
    while True:
        file, ended = interrupted(ends)
        if not ended:
            break
        assert held(file) in (before, whole), f"after {ends} steps"
        ends += 1
    assert ends > 100
    assert held(file) == whole
    assert all(whole[what] != before[what] for what in before)


def test_what_a_commit_that_ended_early_left_undone_is_done_by_the_next() -> None:
    file, ended = interrupted(50)
    assert ended
    file.commit(batch())
    assert held(file) == held(interrupted(10**9)[0])


def test_a_folder_on_a_full_disk_belongs_to_a_log_once_there_is_room(tmp_path: Path) -> None:
    folder, marker = TaskFolder(tmp_path), tmp_path / "log_id.new"
    marker.symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="goes on by itself once there is room"):
        folder.bind("log")
    assert folder.bound_to is None
    marker.unlink()
    folder.bind("log")
    assert folder.bound_to == "log"


def test_a_file_belongs_to_the_topic_that_it_has_read_and_to_the_newest_until_then() -> None:
    file = TaskFile("task", None)
    file.begin_at(40)
    assert file.bind_topic("first")
    assert file.reached == (40, 0), "made where the broker told no ids"
    assert file.bind_topic("second")
    assert file.reached == (0, 0), "where the first began says nothing of the second"
    file.commit(batch())
    assert file.bind_topic("second")
    assert file.bind_topic(None), "a broker that tells no ids"
    assert not file.bind_topic("third")
    assert file.reached == (3, 1)


def test_a_file_that_has_read_a_topic_without_an_id_keeps_its_place_when_that_has_one() -> None:
    file = TaskFile("task", None)
    file.commit(batch())
    assert file.bind_topic("now it has one")
    assert file.reached == (3, 1)
    assert not file.bind_topic("another")
