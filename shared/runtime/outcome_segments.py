"""Decided outcomes as rows, and as Parquet: what monitoring archives is what training reads.

A row: {"ordinal", "record_id", "entity", "origin", "scored_ms", "due_ms", "status", "label", "label_id", "inputs",
"outputs" (by version, as text), "answered_by", "champion", "candidate", "rollout_id"}. `due_ms` is the event time of
the outcome: (due_ms, record_id) is the order of decision, and `ordinal` counts in it from 0, unlabelled ones included.
In Parquet each is a column; `label`, `inputs` and `outputs` as JSON text, for their types are the model's.
"""

from __future__ import annotations

import io
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from shared.contracts.flow import OutcomeMatured
from shared.runtime.segments import EncodedRows

Row = dict[str, Any]

_JSON = ("label", "inputs", "outputs")
_SCHEMA = pa.schema(
    [
        ("ordinal", pa.int64()),
        ("record_id", pa.string()),
        ("entity", pa.string()),
        ("origin", pa.string()),
        ("scored_ms", pa.int64()),
        ("due_ms", pa.int64()),
        ("status", pa.string()),
        ("label", pa.string()),
        ("label_id", pa.string()),
        ("inputs", pa.string()),
        ("outputs", pa.string()),
        ("answered_by", pa.int32()),
        ("champion", pa.int32()),
        ("candidate", pa.int32()),
        ("rollout_id", pa.string()),
    ]
)


def row_of(event: OutcomeMatured, due_ms: int) -> Row:
    """The row of a matured outcome, but for its ordinal."""
    made = event.prediction
    return {
        "record_id": made.record_id or "",
        "entity": made.entity,
        "origin": made.origin,
        "scored_ms": event.scored_ms,
        "due_ms": due_ms,
        "status": event.status.value,
        "label": event.label,
        "label_id": event.label_id,
        "inputs": made.inputs,
        "outputs": {str(version): list(said.output) for version, said in made.outputs.items()},
        "answered_by": made.answered_by,
        "champion": made.champion,
        "candidate": made.candidate,
        "rollout_id": made.rollout_id,
    }


def encode_rows(rows: list[bytes]) -> EncodedRows:
    """Parquet of rows that are JSON; the same rows give the same bytes."""
    read: list[Row] = [orjson.loads(row) for row in rows]
    for row in read:
        row.update({name: orjson.dumps(row[name]).decode() for name in _JSON})
    sink = io.BytesIO()
    table = pa.Table.from_pylist(read, schema=_SCHEMA)
    pq.write_table(table, sink, compression="zstd", version="2.6", row_group_size=len(read), store_schema=False)
    # Decided in the order of their times, so the first and the last bound them.
    return EncodedRows(sink.getvalue(), read[0]["due_ms"], read[-1]["due_ms"])


def decode_rows(data: bytes, *, inputs: bool = True) -> list[Row]:
    """The rows of a segment, in order; without `inputs` these are empty, which takes a fraction of the time."""
    columns = None if inputs else [name for name in _SCHEMA.names if name != "inputs"]
    rows: list[Row] = pq.read_table(io.BytesIO(data), columns=columns).to_pylist()
    for row in rows:
        row.update({name: orjson.loads(row.get(name) or "{}") for name in _JSON})
    return rows
