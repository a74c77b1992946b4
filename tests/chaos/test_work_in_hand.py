"""What counts as work in hand: what stood there before the freeze, and nothing that came after it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from shared.runtime.task_file import Changes, OutboxRow, TaskFile
from shared.runtime.task_names import stored_as
from tests.chaos.work_in_hand import InHand, in_hand, logs_of, tasks_of

TASK, LOG = "features/compute/records.visits.v1/0", "records.visits.v1/0"


@pytest.fixture
def file(tmp_path: Path) -> Generator[TaskFile]:
    """Of a task that has applied ten entries, and sent the one event that came of them."""
    folder = tmp_path / "state" / "features" / "0"
    folder.mkdir(parents=True)
    with closing(TaskFile(TASK, folder / f"{stored_as(TASK)}.sqlite")) as file:
        file.commit(Changes(0, 10, {"ordinal": 1}, outbox=[OutboxRow(0, "out", 0, b"k", b"v", ())]))
        file.commit(Changes(10, 10, {"ordinal": 1}, sent_up_to=0, expected_ordinal=1))
        yield file


def test_who_rests_has_nothing_in_hand(file: TaskFile, tmp_path: Path) -> None:
    assert in_hand(tmp_path, "features", {LOG: 10}) is None
    assert in_hand(tmp_path, "features", {}) is None


def test_entries_that_stood_there_wait_and_are_no_work_that_was_begun(file: TaskFile, tmp_path: Path) -> None:
    said = "compute records.visits.v1/0: 3 entries not applied"
    assert in_hand(tmp_path, "features", {LOG: 13, "other/0": 99}) == InHand(said, at_work=False)


def test_what_was_derived_and_not_sent_was_begun(file: TaskFile, tmp_path: Path) -> None:
    file.commit(Changes(10, 12, {"ordinal": 2}, outbox=[OutboxRow(1, "out", 0, b"k", b"v", ())], expected_ordinal=1))
    found = in_hand(tmp_path, "features", {LOG: 12})
    assert found == InHand("compute records.visits.v1/0: 1 sent or to be sent beyond its cursor", at_work=True)


def test_a_file_that_nobody_holds_is_nobodys_work(file: TaskFile, tmp_path: Path) -> None:
    assert (tasks_of(tmp_path, "features"), logs_of(tmp_path, "features")) == ({TASK}, {LOG})
    file.close()
    assert in_hand(tmp_path, "features", {LOG: 13}) is None
    assert tasks_of(tmp_path, "features-1") == set()
