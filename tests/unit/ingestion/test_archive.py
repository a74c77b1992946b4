"""Accepted records as segments: full spans only, equal bytes, written again after a crash and counted once."""

from __future__ import annotations

import io
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from deploy.simulation.world import Faults
from services.ingestion.archive import COLUMNS, archived_row, encode_segment
from shared.contracts.flow import RecordAccepted
from shared.contracts.topics import INTAKE, RECORDS, dead_letters
from shared.runtime.log import TopicPartition
from tests import builders as b
from tests.unit.ingestion.calls import value
from tests.unit.ingestion.running import events, publish, publish_many, segments, world

ROWS = [archived_row("c1", b.T0_MS + n, b.accepted(), b.intake(record_id=f"t{n}", offset=n)) for n in range(20)]


def rows_of(data: bytes) -> list[dict[str, Any]]:
    return pq.read_table(io.BytesIO(data)).to_pylist()


def test_rows_come_back_as_they_went_in() -> None:
    encoded = encode_segment(ROWS)
    assert (encoded.from_ms, encoded.to_ms) == (b.T0_MS, b.T0_MS + 19)
    rows = rows_of(encoded.data)
    assert [row["record_id"] for row in rows] == [f"t{n}" for n in range(20)]
    assert list(rows[3]) == COLUMNS.names
    assert orjson.loads(rows[3]["value"]) == value()
    assert (rows[3]["topic"], rows[3]["topic_partition"], rows[3]["topic_offset"]) == (b.SOURCE, 0, 3)


def test_equal_rows_give_equal_bytes_and_others_do_not() -> None:
    assert encode_segment(ROWS).data == encode_segment(list(ROWS)).data
    assert encode_segment(ROWS).data != encode_segment(ROWS[:-1]).data


def test_full_spans_are_written_and_leave_the_buffer() -> None:
    made = world()
    publish_many(made, 0, 25)
    made.settle()
    written = segments(made)
    assert [(s.number, s.first, s.rows, s.partition) for s in written] == [(0, 0, 10, 0), (1, 10, 10, 0)]
    rows = [row for s in written for row in rows_of(made.artifacts.get(s.segment))]
    assert [row["record_id"] for row in rows] == [f"t{n}" for n in range(20)]
    task = made.processes["ingestion"].tasks[f"ingestion/accept/{INTAKE.of(b.SOURCE).name}/0"]
    assert len(task.file.buffered("archive", 0, 100)) == 5
    publish_many(made, 25, 30)
    made.settle()
    assert len(segments(made)) == 3


@pytest.mark.parametrize("seed", range(12))
def test_with_faults_each_record_counts_once_and_segments_are_the_same(seed: int) -> None:
    made = world(seed, Faults(crash=0.02, repeat=0.05, lose_ack=0.02, fail=0.02, delay=0.05))
    for n in range(45):
        publish_many(made, n, n + 1)
        publish_many(made, n // 2, n // 2 + 1)
        if n % 9 == 0:
            publish(made, b"no json")
        made.run(8)
    made.settle()
    accepted = [e for e in events(made, RECORDS.of(b.SOURCE).name) if isinstance(e, RecordAccepted)]
    assert sorted(e.record_id for e in accepted) == sorted(f"t{n}" for n in range(45))
    assert len(events(made, "records.rejected.v1")) == 5
    assert events(made, INTAKE.of(b.SOURCE).name)
    assert not made.broker.history(TopicPartition(dead_letters("ingestion"), 0))
    order = [e.record_id for e in accepted]
    rows = [[row["record_id"] for row in rows_of(made.artifacts.get(s.segment))] for s in segments(made)]
    assert rows == [order[k : k + 10] for k in range(0, 40, 10)]
