"""`headrace archive`: what segments and the files of ingestion hold, each record once, in the order of their times."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest

from services.console.cli import main
from services.ingestion.archive import BUFFER, archived_row, encode_segment
from shared.contracts.flow import IntakeRecord, RecordAccepted
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.task_file import Changes
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
    folder = TaskFolder(tmp_path / "state" / "ingestion" / "0")
    folder.bind(LOG_ID)
    file = folder.open(TASK)
    buffered = [(BUFFER, ordinal, row(n)) for ordinal, n in enumerate((4, 2, 5))]
    file.commit(Changes(0, 6, buffers=buffered))
    file.close()
    return tmp_path


def test_each_record_comes_once_in_the_order_of_time(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["archive", b.SOURCE, "--data", str(data)]) == 0
    said = capsys.readouterr()
    assert [orjson.loads(line)["transaction_id"] for line in said.out.splitlines()] == [f"t{n}" for n in range(6)]
    assert f"6 records of {b.SOURCE} from the archive of log {LOG_ID}" in said.err
    assert main(["archive", b.SOURCE, "--data", str(data), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["log"], len(document["records"])) == (LOG_ID, 6)


def test_a_segment_that_is_damaged_is_told_and_nothing_is_written(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment = next((data / "objects").rglob("*.parquet"))
    segment.write_bytes(segment.read_bytes()[:-1])
    assert main(["archive", b.SOURCE, "--data", str(data)]) == 1
    said = capsys.readouterr()
    assert (said.out, "restore it from a backup" in said.err) == ("", True)


def test_whose_archive_is_asked_where_there_are_several(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "state" / "ingestion" / "0" / "log_id").unlink()
    ArtifactStore.at(str(data / "objects")).write("another/segments/records/x", b"")
    assert main(["archive", b.SOURCE, "--data", str(data)]) == 1
    assert f"{LOG_ID}, another: choose one with --log" in capsys.readouterr().err
    assert main(["archive", b.SOURCE, "--data", str(data), "--log", LOG_ID]) == 0
    assert main(["archive", b.SOURCE, "--data", str(data / "nowhere")]) == 1
    assert "there is no folder" in capsys.readouterr().err
