"""Accepted records as immutable Parquet: segments [kN, (k+1)N) of each accept task's own count."""

from __future__ import annotations

import io
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from shared.contracts.flow import IntakeRecord, RecordAccepted
from shared.runtime.process import Process
from shared.runtime.segments import EncodedRows, SegmentWriter

BUFFER = "archive"
ROWS_PER_SEGMENT = 10_000

# `value` is JSON text; `topic`, `topic_partition` and `topic_offset` say where the record stands as the user sent it.
# Row i of a segment is row `first` + i of its task, where `first` stands in SegmentWritten.
COLUMNS = pa.schema(
    [
        pa.field("record_id", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("time_ms", pa.int64(), nullable=False),
        pa.field("late", pa.bool_(), nullable=False),
        pa.field("value", pa.string(), nullable=False),
        pa.field("topic", pa.string(), nullable=False),
        pa.field("topic_partition", pa.int32(), nullable=False),
        pa.field("topic_offset", pa.int64(), nullable=False),
    ]
)
_TIME_MS = COLUMNS.get_field_index("time_ms")


def archived_row(key: str, time_ms: int, accepted: RecordAccepted, record: IntakeRecord) -> bytes:
    """One row, in the order of COLUMNS."""
    value = orjson.dumps(accepted.value).decode()
    where = (record.topic, record.partition, record.offset)
    return orjson.dumps((record.record_id, key, time_ms, accepted.late, value, *where))


def encode_segment(rows: list[bytes]) -> EncodedRows:
    """The rows as Parquet. The bytes follow from the rows and from the version of pyarrow."""
    columns: list[list[Any]] = [list(column) for column in zip(*map(orjson.loads, rows), strict=True)]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, COLUMNS, strict=True)]
    buffer = io.BytesIO()
    pq.write_table(
        pa.Table.from_arrays(arrays, schema=COLUMNS), buffer, version="2.6", compression="zstd", compression_level=3,
        store_schema=False, row_group_size=len(rows),
    )  # fmt: skip
    return EncodedRows(buffer.getvalue(), min(columns[_TIME_MS]), max(columns[_TIME_MS]))


def archive_worker(process: Process, rows_per_segment: int = ROWS_PER_SEGMENT) -> SegmentWriter:
    """Writes what is full; rows that do not fill a segment yet stay in the task's file and in `records.<source>`."""
    return SegmentWriter(process, "accept", BUFFER, rows_per_segment, encode_segment, "records")
