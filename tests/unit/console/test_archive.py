"""`headrace archive`: what segments and the files of ingestion hold, each record once, in the order of their times."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from deploy.local.running_platform import RunningPlatform
from services.console.cli import main
from services.ingestion.archive import BUFFER, archived_row, encode_segment
from shared.contracts.flow import IntakeRecord, RecordAccepted
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.copies import Copies
from shared.runtime.task_file import Changes, FileCopy
from shared.runtime.task_folder import TaskFolder
from tests import builders as b

LOG_ID, TASK = "11111111-1111-8111-8111-111111111111", f"ingestion/accept/intake.{b.SOURCE}.v1/0"


def row(n: int, topic: str = b.SOURCE) -> bytes:
    """The record of number n, n seconds after the first."""
    record_id, time_ms = f"t{n}", b.T0_MS + n * 1_000
    accepted = b.accepted(record_id=record_id, value={"transaction_id": record_id})
    intake = b.intake(record_id=record_id, topic=topic, partition=0, offset=n)
    assert isinstance(accepted, RecordAccepted)
    assert isinstance(intake, IntakeRecord)
    return archived_row("c1", time_ms, accepted, intake)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two segments that are not in order, another source's, and rows that fill none yet, one of them archived since."""
    store = ArtifactStore.at(str(tmp_path / "objects"))
    for rows in ([row(4), row(3)], [row(0), row(1)], [row(9, topic="others")]):
        store.put(LOG_ID, "segments/records", encode_segment(rows).data, ".parquet")
    task_file(tmp_path, (4, 2, 5), 6)
    return tmp_path


def task_file(data: Path, rows: Sequence[int], position: int, instance: str = "0", log_id: str = LOG_ID) -> FileCopy:
    """The file of the accept task with these rows in its buffer, as an instance left it; a copy of it."""
    folder = TaskFolder(data / "state" / "ingestion" / instance)
    folder.bind(log_id)
    file = folder.open(TASK)
    file.bind(log_id)
    file.commit(Changes(0, position, buffers=[(BUFFER, ordinal, row(n)) for ordinal, n in enumerate(rows)]))
    copy = file.copier()()
    file.close()
    return copy


def copy_of(elsewhere: Path, rows: Sequence[int], position: int) -> FileCopy:
    """What an instance on another machine copies."""
    return task_file(elsewhere, rows, position)


def copies(data: Path, log_id: str = LOG_ID) -> Copies:
    return Copies(ArtifactStore.at(str(data / "objects")), log_id)


def records(data: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[list[str], str]:
    """The ids that the command writes, and what it says besides."""
    assert main(["archive", b.SOURCE, "--data", str(data), *options]) == 0
    said = capsys.readouterr()
    return [orjson.loads(line)["transaction_id"] for line in said.out.splitlines()], said.err


ALL = [f"t{n}" for n in range(6)]


def test_each_record_comes_once_in_the_order_of_time(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, said = records(data, capsys)
    assert found == ALL
    assert f"6 records of {b.SOURCE} from the archive of log {LOG_ID}" in said
    assert "warning" not in said
    assert main(["archive", b.SOURCE, "--data", str(data), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["log"], len(document["records"])) == (LOG_ID, 6)


def test_a_platform_that_runs_is_asked_where_its_state_is(
    data: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the embedded broker that is a folder of its own; and a young platform has stored no object yet."""
    folder = tmp_path_factory.mktemp("started")
    RunningPlatform(console="http://c", bootstrap="b", embedded=True, data=str(data)).write(folder)
    assert records(folder, capsys)[0] == ALL
    shutil.rmtree(data / "objects")
    assert records(folder, capsys)[0] == ["t2", "t4", "t5"]


def test_a_segment_that_is_damaged_is_told_and_nothing_is_written(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment = next((data / "objects").rglob("*.parquet"))
    segment.write_bytes(segment.read_bytes()[:-1])
    assert main(["archive", b.SOURCE, "--data", str(data)]) == 1
    said = capsys.readouterr()
    assert (said.out, "restore it from a backup" in said.err) == ("", True)


def test_whose_archive_is_asked_where_there_are_several(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TaskFolder(data / "state" / "ingestion" / "1").bind("another")
    assert main(["archive", b.SOURCE, "--data", str(data)]) == 1
    said = capsys.readouterr().err
    assert f"{data / 'state' / 'ingestion'} holds state of the logs {LOG_ID}, another: choose one with --log" in said
    shutil.rmtree(data / "state")
    ArtifactStore.at(str(data / "objects")).write("another/segments/records/x", b"")
    assert main(["archive", b.SOURCE, "--data", str(data)]) == 1
    said = capsys.readouterr().err
    assert f"the object store at {data / 'objects'} holds archives of the logs {LOG_ID}, another: choose" in said
    assert main(["archive", b.SOURCE, "--data", str(data), "--log", LOG_ID]) == 0
    assert main(["archive", b.SOURCE, "--data", str(data / "nowhere")]) == 1
    assert "there is no folder" in capsys.readouterr().err


# --- rows that fill no segment yet


def test_where_no_file_is_here_the_rows_come_from_the_copy_in_the_store(
    data: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ingestion runs on another machine, or its disk is lost."""
    copies(data).keep(TASK, copy_of(tmp_path_factory.mktemp("elsewhere"), (4, 2, 5), 6))
    shutil.rmtree(data / "state")
    found, said = records(data, capsys)
    assert found == ALL
    assert f"warning: {TASK}: its newest rows come from its copy" in said


@pytest.mark.parametrize(("position", "found"), [(5, ALL), (7, [*ALL, "t6"])])
def test_of_file_and_copy_the_furthest_counts(
    data: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str],
    position: int, found: list[str],
) -> None:  # fmt: skip
    copies(data).keep(TASK, copy_of(tmp_path_factory.mktemp("elsewhere"), (2, 5, 6), position))
    assert records(data, capsys)[0] == found


def test_of_two_instances_the_one_that_got_furthest_counts(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task_file(data, (2, 5, 6), 8, instance="1")
    assert records(data, capsys)[0] == [*ALL, "t6"]


def test_files_beside_another_log_are_not_mixed_in(
    data: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ArtifactStore.at(str(data / "objects"))
    store.put("old", "segments/records", encode_segment([row(1), row(7)]).data, ".parquet")
    copies(data, "old").keep(TASK, copy_of(tmp_path_factory.mktemp("elsewhere"), (8,), 3))
    assert records(data, capsys, "--log", "old")[0] == ["t1", "t7", "t8"]
    assert records(data, capsys)[0] == ALL


def test_a_damaged_file_is_told_and_the_copy_is_read(
    data: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    copies(data).keep(TASK, copy_of(tmp_path_factory.mktemp("elsewhere"), (4, 2, 5), 5))
    [file] = data.glob("state/ingestion/0/*.sqlite")
    file.write_bytes(b"no database" * 1_000)
    found, said = records(data, capsys)
    assert found == ALL
    assert f"warning: {file} cannot be read" in said


def test_a_damaged_copy_is_told_and_the_one_before_it_is_read(
    data: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    store, elsewhere = ArtifactStore.at(str(data / "objects")), tmp_path_factory.mktemp("elsewhere")
    shutil.rmtree(data / "state")
    copies(data).keep(TASK, copy_of(elsewhere / "a", (4, 2, 5), 6))
    copies(data).keep(TASK, copy_of(elsewhere / "b", (4, 2, 5, 6), 7))
    [older, newer] = store.names(copies(data).folder(TASK))
    store.write(newer, b"damaged")
    found, said = records(data, capsys)
    assert found == ALL
    assert f"warning: {TASK}: its furthest copy in the object store is damaged" in said
    store.write(older, b"damaged as well")
    found, said = records(data, capsys)
    assert found == ["t0", "t1", "t3", "t4"]
    assert f"warning: {TASK}: neither a file of it nor a copy" in said


def test_what_is_nowhere_is_told(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    features = f"features/compute/records.{b.SOURCE}.v1/1"
    with closing(sqlite3.connect(":memory:")) as file:
        file.execute("CREATE TABLE some (n)")
        copies(data).keep(features, FileCopy(3, 0, file.serialize()))  # so there is a second partition
    found, said = records(data, capsys)
    other = TASK.removesuffix("0") + "1"
    assert found == ALL
    assert f"warning: {other}: neither a file of it nor a copy" in said
    assert f"warning: {TASK}" not in said
    shutil.rmtree(data / "state")
    ArtifactStore.at(str(data / "objects")).remove(copies(data)._store.names(f"{LOG_ID}/copies"))
    found, said = records(data, capsys)
    assert found == ["t0", "t1", "t3", "t4"]
    assert f"warning: of no task that accepts {b.SOURCE} there is a file" in said
