"""A task's file that SQLite finds damaged: set aside, its newest copy restored, and the rest replayed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import structlog

from shared.contracts.envelope import Message, decode
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.copies import Copies
from shared.runtime.settings import COPY_EVERY_S
from shared.runtime.sqlite_files import in_memory
from shared.runtime.task_file import FileCopy, TaskFile
from shared.runtime.task_folder import TaskFolder
from tests.unit.runtime.process_bench import TASK, Bench
from tests.unit.runtime.toy_task import labelled, open_task, predicted, seen, take


def test_a_damaged_file_is_set_aside_and_an_empty_one_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "here.sqlite"
    file = TaskFile(TASK, path)
    take(open_task(file), *[predicted(n) for n in range(1, 200)])
    file.close()
    pages = bytearray(path.read_bytes())
    for at in range(4096, len(pages), 512):
        pages[at : at + 64] = b"\xff" * 64
    path.write_bytes(pages)
    again = TaskFile(TASK, path)
    assert again.set_aside is not None
    assert again.set_aside.read_bytes() == pages
    assert again.reached == (0, 0)
    again.close()
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    third = TaskFile(TASK, path)
    assert third.set_aside is not None
    assert third.set_aside != again.set_aside
    third.close()


def image(tmp_path: Path) -> bytes:
    """Of the file of a task at work."""
    file = TaskFile(TASK, tmp_path / "imaged.sqlite")
    take(open_task(file), *[predicted(n) for n in range(1, 200)])
    data = file.copier()().data
    file.close()
    return data


def spoilt(data: bytes) -> bytes:
    """The same, with a damaged page below the table of states: nothing that is read at the start."""
    with closing(in_memory(data)) as file:
        [[page]] = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'state'").fetchall()
        [[size]] = file.execute("PRAGMA page_size").fetchall()
    return data[: (page - 1) * size] + b"\xff" * size + data[page * size :]


def test_a_damaged_file_in_memory_is_refused(tmp_path: Path) -> None:
    data = image(tmp_path)
    in_memory(data).close()
    bad = sqlite3.connect(":memory:", isolation_level=None)
    bad.deserialize(spoilt(data[:18] + b"\x01\x01" + data[20:]))
    with pytest.raises(sqlite3.DatabaseError, match="btreeInitPage"):
        TaskFile(TASK, None, bad)


def test_a_copy_of_a_file_that_was_spoilt_while_its_task_ran_pushes_no_whole_one_out(tmp_path: Path) -> None:
    copies, data = Copies(ArtifactStore.at("memory:"), "log-1"), image(tmp_path)
    copies.keep(TASK, FileCopy(10, 0, data))
    for position in (20, 30, 40):
        with pytest.raises(sqlite3.DatabaseError, match="btreeInitPage"):
            copies.keep(TASK, FileCopy(position, 0, spoilt(data)))
    assert copies.beyond(TASK, (0, 0)) == FileCopy(10, 0, data)


def test_a_file_that_is_found_damaged_as_it_is_copied_ends_the_process_and_the_next_goes_on(tmp_path: Path) -> None:
    bench = Bench()
    bench.files = TaskFolder(tmp_path)
    bench.started()
    bench.found()

    def time_to_copy() -> None:
        bench.clock.pass_ms(round(COPY_EVERY_S * 1_000))
        bench.turn(5)

    bench.put(*[predicted(n) for n in range(1, 200)])
    bench.turn(5)
    time_to_copy()
    bench.put(predicted(200))
    bench.turn(5)
    file = bench.process.tasks[TASK].file
    [path] = [path for path in tmp_path.glob("*.sqlite") if "join" in path.name]
    file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    whole = path.read_bytes()
    path.write_bytes(spoilt(whole))
    with pytest.raises(sqlite3.DatabaseError):
        time_to_copy()
    bench.process.close()
    with structlog.testing.capture_logs() as said, closing(bench.started()):
        bench.turn(8)
        assert seen(bench.process.tasks[TASK]) == [f"r{n}" for n in range(1, 201)]
    assert [line["file"] for line in said if "set aside" in line["event"]] == [str(path.with_suffix(".damaged-1"))]
    assert [line["position"] for line in said if line["event"] == "going on from a copy"] == [199]


def test_of_a_damaged_file_the_newest_copy_is_restored_and_the_rest_replayed(tmp_path: Path) -> None:
    calm, struck = Bench(), Bench()
    for bench in (calm, struck):
        bench.files = TaskFolder(tmp_path / str(id(bench)))
        bench.started()
        bench.found()
        for n in range(1, 4):
            bench.put(predicted(n), labelled(n))
            bench.turn(5)
            if n < 3:
                bench.clock.pass_ms(round(COPY_EVERY_S * 1_000))
                bench.turn(5)
        bench.process.close()
    [path] = [path for path in (tmp_path / str(id(struck))).glob("*.sqlite") if "join" in path.name]
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    for bench in (calm, struck):
        bench.started()
    with structlog.testing.capture_logs() as said:
        struck.turn(8)
    assert [line["file"] for line in said if "set aside" in line["event"]] == [str(path.with_suffix(".damaged-1"))]
    assert [line["position"] for line in said if line["event"] == "going on from a copy"] == [4]
    calm.turn(8)
    file, whole = (bench.process.tasks[TASK].file for bench in (struck, calm))
    assert (file.position, dict(file.states())) == (whole.position, dict(whole.states()))
    assert seen(struck.process.tasks[TASK]) == ["r1", "l1", "r2", "l2", "r3", "l3"]
    for bench in (calm, struck):
        bench.put(predicted(4), labelled(4))
        bench.turn(5)
        bench.process.close()
    derived, said_again = (numbered(bench) for bench in (calm, struck))
    assert list(dict.fromkeys(said_again)) == derived, "the same events under the same numbers, some of them twice"
    assert len(said_again) > len(derived)


def numbered(bench: Bench) -> list[tuple[int | None, str, bytes | None]]:
    """Events without marks: number, id and data."""
    found = ((decode(record.key, record.value, record.headers), record.value) for record in bench.outcomes())
    return [(one.sequence, one.id, data) for one, data in found if isinstance(one, Message)]
