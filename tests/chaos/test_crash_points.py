"""Named points of a task's file and its copies are met for real: the process is dead, its file as promised."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from shared.runtime.artifacts import ArtifactStore
from shared.runtime.copier import Copier
from shared.runtime.copies import Copies
from shared.runtime.open_files import OpenFiles
from shared.runtime.step import Wait
from shared.runtime.task_file import Changes, FileCopy, OutboxRow, TaskFile
from tests.chaos.crash_points import Armed, Point, install
from tests.eventually import eventually

TASK = "features/compute/records.visits.v1/0"


def died(ashes: Path, point: Point, nth: int, does: Callable[[], None]) -> str:
    """What a process had in hand when it died at the point; it must die of nothing else."""
    # Not a fork: the object store has threads of its own here, and whoever is forked beside them waits for them.
    child = multiprocessing.get_context("spawn").Process(target=_lives, args=(Armed(point, nth, ashes), does))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    child.close()
    return ashes.read_text()


def _lives(armed: Armed, does: Callable[[], None]) -> None:
    armed.arm()
    does()


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
    said = died(tmp_path / "ashes", point, 2, partial(commits, path, 3))
    assert said == f"{TASK}: 10 entries taken, 1 to be sent"
    with closing(TaskFile(TASK, path)) as file:
        assert (file.position, file.ordinal, len(file.outbox())) == (kept, kept // 10, kept // 10)


def says_only(path: Path, ashes: Path) -> None:
    file = TaskFile(TASK, path)
    file.commit(Changes(0, 0))
    assert not ashes.exists()
    file.commit(batch(0))


def test_what_takes_nothing_is_no_work(tmp_path: Path) -> None:
    ashes = tmp_path / "ashes"
    assert "10 entries taken" in died(
        ashes, Point.BEFORE_COMMIT, 1, partial(says_only, tmp_path / "task.sqlite", ashes)
    )


def copies_in(folder: Path) -> Copies:
    return Copies(ArtifactStore.at(str(folder / "objects")), "log")


def keeps(folder: Path) -> None:
    file = TaskFile(TASK, folder / "task.sqlite")
    file.commit(batch(0))
    copies_in(folder).keep(TASK, file.copier()())


def hands_over(folder: Path) -> None:
    file = TaskFile(TASK, folder / "task.sqlite")
    file.commit(batch(0))
    copies_in(folder).hand_over(TASK, "m1", file.copier()())


def restores(path: Path, copy: FileCopy) -> None:
    TaskFile(TASK, path).restore(copy)


@pytest.mark.parametrize(("point", "there"), [(Point.COPY_MADE, 0), (Point.COPY_STORED, 1)], ids=str)
def test_a_copy_is_stored_or_not(point: Point, there: int, tmp_path: Path) -> None:
    assert "a copy of" in died(tmp_path / "ashes", point, 1, partial(keeps, tmp_path))
    assert len(copies_in(tmp_path).reached()) == there


@pytest.mark.parametrize(
    ("point", "kept"), [(Point.COPY_FOUND, 10), (Point.COPY_WRITTEN, 10), (Point.COPY_RESTORED, 90)], ids=str
)
def test_a_file_is_the_old_one_or_the_copy(point: Point, kept: int, tmp_path: Path) -> None:
    path, beyond = tmp_path / "task.sqlite", tmp_path / "beyond.sqlite"
    commits(path, 1)
    commits(beyond, 9)
    with closing(TaskFile(TASK, beyond)) as file:
        copy = file.copier()()
    said = died(tmp_path / "ashes", point, 1, partial(restores, path, copy))
    assert said
    with closing(TaskFile(TASK, path)) as file:
        assert (file.position, len(file.outbox())) == (kept, kept // 10)


def test_a_hand_over_dies_with_its_copy_stored_and_nobody_told(tmp_path: Path) -> None:
    assert "its last copy is stored" in died(tmp_path / "ashes", Point.HANDED_OVER, 1, partial(hands_over, tmp_path))
    copies = copies_in(tmp_path)
    assert copies.reached() == {TASK: (10, 1)}
    assert not copies.handed_over(TASK, "m1")


@pytest.mark.parametrize("point", [Point.HANDING_OVER, Point.HANDED_OVER, Point.TAKEN_OVER], ids=str)
def test_a_task_at_rest_that_moves_is_no_work(point: Point, tmp_path: Path) -> None:
    """It moves twice: when it has applied all that stands in its log, and when three more entries do."""
    met: list[str] = []
    reach = iter((10, 13))
    undo = install(point, 1, met.append, lambda logs: dict.fromkeys(logs, next(reach)))
    try:
        moves(tmp_path, "m1")
        assert met == []
        moves(tmp_path, "m2")
    finally:
        undo()
    [said] = met
    assert said.startswith(f"{TASK}: at position 10, 3 entries not applied, 0 to be sent")


def moves(folder: Path, membership: str) -> None:
    """A task is given away under this membership, and its next owner opens it."""
    copies, executor = copies_in(folder), ThreadPoolExecutor(1)
    files = SimpleNamespace(open=partial(TaskFile, path=folder / "new.sqlite"))
    opener = OpenFiles(cast("Any", files), lambda: copies, executor, time.monotonic)
    with executor, closing(TaskFile(TASK, folder / "old.sqlite")) as file:
        if file.position == 0:
            file.commit(Changes(0, 10))
        task = SimpleNamespace(spec=SimpleNamespace(id=TASK), file=file, position=file.position, unsent=())
        Copier(lambda: copies, executor, time.monotonic, 1.0).hand_over(cast("Any", task), membership).result()
        opened: list[TaskFile] = []

        def taken() -> bool:
            with suppress(Wait):
                opened.append(opener.open(TASK, membership))
            return bool(opened)

        eventually(taken, 5, "it is taken over")
        opened[0].close()
