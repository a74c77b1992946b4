"""Named points of a task's file and its copies are met for real: the process is dead, its file as promised."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from shared.runtime.artifacts import ArtifactStore
from shared.runtime.copies import Copies
from shared.runtime.task_file import Changes, OutboxRow, TaskFile
from tests.chaos.crash_points import Armed, Point

TASK = "features/compute/records.visits.v1/0"


def died(ashes: Path, point: Point, nth: int, does: Callable[[], None]) -> str:
    """What a forked process had in hand when it died at the point; it must die of nothing else."""
    child = os.fork()
    if not child:
        try:
            Armed(point, nth, ashes).arm()
            does()
        except AssertionError:
            traceback.print_exc()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    return ashes.read_text()


def batch(position: int) -> Changes:
    """Ten entries, of which one row comes."""
    row = OutboxRow(position // 10, "out", 0, b"k", b"v", ())
    meta: dict[str, int | str] = {"ordinal": row.ordinal + 1}
    return Changes(position, position + 10, meta, outbox=[row], expected_ordinal=row.ordinal)


def commits(path: Path, batches: int) -> None:
    with closing(TaskFile(TASK, path)) as file:
        for n in range(batches):
            file.commit(batch(10 * n))


@pytest.mark.parametrize(
    ("point", "kept"), [(Point.BEFORE_COMMIT, 10), (Point.IN_COMMIT, 10), (Point.AFTER_COMMIT, 20)], ids=str
)
def test_a_commit_is_whole_or_absent(point: Point, kept: int, tmp_path: Path) -> None:
    path = tmp_path / "task.sqlite"
    said = died(tmp_path / "ashes", point, 2, lambda: commits(path, 3))
    assert said == f"{TASK}: 10 entries taken, 1 to be sent"
    with closing(TaskFile(TASK, path)) as file:
        assert (file.position, file.ordinal, len(file.outbox())) == (kept, kept // 10, kept // 10)


def test_what_takes_nothing_is_no_work(tmp_path: Path) -> None:
    def says_only() -> None:
        file = TaskFile(TASK, tmp_path / "task.sqlite")
        file.commit(Changes(0, 0))
        assert not (tmp_path / "ashes").exists()
        file.commit(batch(0))

    assert "10 entries taken" in died(tmp_path / "ashes", Point.BEFORE_COMMIT, 1, says_only)


@pytest.mark.parametrize(("point", "there"), [(Point.COPY_MADE, 0), (Point.COPY_STORED, 1)], ids=str)
def test_a_copy_is_stored_or_not(point: Point, there: int, tmp_path: Path) -> None:
    def copies() -> Copies:
        return Copies(ArtifactStore.at(str(tmp_path / "objects")), "log")

    def keeps() -> None:
        file = TaskFile(TASK, tmp_path / "task.sqlite")
        file.commit(batch(0))
        copies().keep(TASK, file.copier()())

    assert "a copy of" in died(tmp_path / "ashes", point, 1, keeps)
    assert len(copies().reached()) == there


@pytest.mark.parametrize(
    ("point", "kept"), [(Point.COPY_FOUND, 10), (Point.COPY_WRITTEN, 10), (Point.COPY_RESTORED, 90)], ids=str
)
def test_a_file_is_the_old_one_or_the_copy(point: Point, kept: int, tmp_path: Path) -> None:
    path, beyond = tmp_path / "task.sqlite", tmp_path / "beyond.sqlite"
    commits(path, 1)
    commits(beyond, 9)
    with closing(TaskFile(TASK, beyond)) as file:
        copy = file.copier()()
    said = died(tmp_path / "ashes", point, 1, lambda: TaskFile(TASK, path).restore(copy))
    assert said
    with closing(TaskFile(TASK, path)) as file:
        assert (file.position, len(file.outbox())) == (kept, kept // 10)


def test_a_hand_over_dies_with_its_copy_stored_and_nobody_told(tmp_path: Path) -> None:
    def hands_over() -> None:
        file = TaskFile(TASK, tmp_path / "task.sqlite")
        file.commit(batch(0))
        Copies(ArtifactStore.at(str(tmp_path / "objects")), "log").hand_over(TASK, "m1", file.copier()())

    assert "its last copy is stored" in died(tmp_path / "ashes", Point.HANDED_OVER, 1, hands_over)
    copies = Copies(ArtifactStore.at(str(tmp_path / "objects")), "log")
    assert copies.reached() == {TASK: (10, 1)}
    assert not copies.handed_over(TASK, "m1")
