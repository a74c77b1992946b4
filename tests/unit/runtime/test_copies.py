"""A task's file is copied into the object store, and a task without its file goes on from the copy."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from shared.runtime.artifacts import ArtifactMissing, ArtifactStore
from shared.runtime.copies import Copies
from shared.runtime.full_disks import DiskFull
from shared.runtime.task_file import FileCopy, TaskFile
from tests import builders as b
from tests.memory_host import AtOnce
from tests.unit.runtime.toy_task import both_marked, events, open_task, predicted, take

LOG = "log-1"
TASK = "monitoring/join/joins.fraud.v1/0"


@pytest.fixture
def store() -> ArtifactStore:
    return ArtifactStore.at("memory:")


def pages(word: str) -> bytes:
    """A SQLite file."""
    with closing(sqlite3.connect(":memory:")) as file:
        file.execute(f"CREATE TABLE '{word}' (n)")
        return file.serialize()


def copy(position: int, ordinal: int = 0, word: str = "pages") -> FileCopy:
    return FileCopy(position, ordinal, pages(word))


def test_the_copy_that_got_furthest_is_given_whatever_came_last(store: ArtifactStore) -> None:
    copies = Copies(store, LOG)
    for kept in (copy(10, 4), copy(10, 5, "further"), copy(9, 80, "of one thought dead")):
        copies.keep(TASK, kept)
    assert copies.beyond(TASK, (0, 0)) == copy(10, 5, "further")
    assert copies.reached() == {TASK: (10, 5)}


def test_only_what_is_beyond_the_file_at_hand_is_fetched(store: ArtifactStore) -> None:
    copies = Copies(store, LOG)
    copies.keep(TASK, copy(10, 4))
    assert copies.beyond(TASK, (10, 3)) is not None
    assert copies.beyond(TASK, (10, 4)) is None
    assert copies.beyond("monitoring/join/joins.fraud.v1/1", (0, 0)) is None
    assert Copies(store, "log-2").beyond(TASK, (0, 0)) is None


def test_the_furthest_two_are_kept(store: ArtifactStore) -> None:
    copies = Copies(store, LOG)
    for position in (1, 5, 3, 4):
        copies.keep(TASK, copy(position))
    names = store.names(f"{LOG}/copies")
    assert [int(name.rpartition("/")[2].split("-")[0]) for name in names] == [4, 5]


def test_a_damaged_copy_is_passed_over_for_the_one_before(store: ArtifactStore) -> None:
    copies = Copies(store, LOG)
    copies.keep(TASK, copy(10, word="whole"))
    copies.keep(TASK, copy(20))
    newest = store.names(f"{LOG}/copies")[-1]
    store.write(newest, store.read(newest)[:-1])
    assert copies.beyond(TASK, (0, 0)) == copy(10, word="whole")
    assert copies.beyond(TASK, (10, 0)) is None


def test_a_copy_that_is_gone_from_the_store_is_said(tmp_path: Path) -> None:
    store = ArtifactStore.at(str(tmp_path / "objects"))
    Copies(store, LOG).keep(TASK, copy(1))
    store.remove([*store.names(LOG), f"{LOG}/never/there"])
    with pytest.raises(ArtifactMissing, match="HEADRACE_OBJECT_STORE"):
        store.read(f"{LOG}/copies/{TASK}")
    assert Copies(store, LOG).beyond(TASK, (0, 0)) is None


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_task_goes_on_from_its_copy_as_if_nothing_had_happened(on_disk: bool, tmp_path: Path) -> None:
    kept = TaskFile(TASK, tmp_path / "here.sqlite" if on_disk else None)
    task = open_task(kept)
    take(task, predicted(1), predicted(2), *both_marked(b.T0_MS))
    copied = kept.copier()()
    assert (copied.position, copied.ordinal) == task.reached == kept.reached
    take(task, predicted(3))

    elsewhere = TaskFile(TASK, tmp_path / "there.sqlite" if on_disk else None)
    elsewhere.restore(copied)
    again = open_task(elsewhere)
    assert again.reached == (copied.position, copied.ordinal)
    take(again, predicted(3))
    # Marks are said again by whoever goes on; events and state are what the log determines.
    assert events(again) == events(task)
    assert dict(elsewhere.states()) == dict(kept.states())
    assert elsewhere.producers() == kept.producers()
    kept.close()
    elsewhere.close()


def test_a_copy_is_one_moment_of_a_file_that_goes_on(tmp_path: Path) -> None:
    file = TaskFile(TASK, tmp_path / "here.sqlite")
    task = open_task(file)
    take(task, predicted(1))
    copier = file.copier()
    take(task, predicted(2))
    # As the executor does it: on another thread, later, while the task holds the file open.
    copied = AtOnce().submit(copier).result()
    assert (copied.position, copied.ordinal) == task.reached
    file.close()


def test_a_full_disk_takes_the_batch_once_there_is_room(tmp_path: Path) -> None:
    file = TaskFile(TASK, tmp_path / "here.sqlite")
    task = open_task(file)
    take(task, predicted(1))
    before = task.reached
    pages = file.connection.execute("PRAGMA page_count").fetchone()[0]
    file.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull, match="goes on by itself once there is room"):
        take(task, *[predicted(n) for n in range(2, 400)], *both_marked(b.T0_MS + 5))
    sent = len(task.unsent)
    with pytest.raises(DiskFull):
        task.say(1.0)
    assert task.reached == file.reached == before
    assert len(task.unsent) == sent
    file.connection.execute("PRAGMA max_page_count = 1000000")
    task.settle_cursor()
    assert task.reached == file.reached == (401, before[1] + 398)
    assert [row.ordinal for row in task.unsent] == list(range(before[1] + 398))
    file.close()
