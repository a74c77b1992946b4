"""A model's decided outcomes as they were recorded, in the order of decision, with their inputs or without.

Segments lie in the object store; what fills no segment yet lies in the file of the judge's task, or in the copy of that
file that got furthest.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import orjson

from services.monitoring.backtest.request import OfRecorded, Overtaken
from services.monitoring.judge import ARCHIVE
from shared.contracts.topics import OUTCOMES
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.copies import Copies
from shared.runtime.outcome_segments import Row, decode_rows
from shared.runtime.task_file import reached_in
from shared.runtime.task_folder import log_of_folder
from shared.runtime.task_names import stored_as

_ROWS = "SELECT row FROM buffers WHERE name = ? ORDER BY ordinal"
_Held = tuple[tuple[int, int], list[Row]]  # how far the file got, and its rows


def recorded_rows(request: OfRecorded, *, inputs: bool = False) -> tuple[list[Row], list[str]]:
    """Rows 0, 1, .. as far as they are found without a gap; and what had to be left out, in words.

    Without `inputs` these are empty, which takes a fraction of the time.

    Raises ArtifactMissing, ArtifactDamaged, and Overtaken.
    """
    warnings: list[str] = []
    store = ArtifactStore.at(request.object_store)
    # Read before the segments are looked through: what is moved into one meanwhile then stands in both.
    newest = _newest(store, request, warnings)
    rows: list[Row] = []
    for segment in sorted(request.segments, key=lambda segment: segment.number):
        if segment.first == len(rows):
            rows += decode_rows(store.get(segment.segment), inputs=inputs)
    archived = len(rows)
    rows += [row if inputs else {**row, "inputs": {}} for row in newest if row["ordinal"] >= len(rows)]
    whole = next((n for n, row in enumerate(rows) if row["ordinal"] != n), len(rows))
    if whole == archived < len(rows) and request.anew:
        raise Overtaken(f"outcomes from {archived:,} on stand in a segment that is not known yet")
    if whole < len(rows):
        warnings.append(
            f"outcomes {whole:,} to {rows[whole]['ordinal'] - 1:,} stand neither in a segment nor in a file: "
            f"{len(rows) - whole:,} behind them are left out"
        )
    return rows[:whole], warnings


def _newest(store: ArtifactStore, request: OfRecorded, warnings: list[str]) -> Sequence[Row]:
    found: list[_Held] = []
    data, task = Path(request.data), f"monitoring/judge/{OUTCOMES.of(request.model).name}/0"
    for path in sorted(data.glob(f"state/monitoring/*/{stored_as(task)}.sqlite")):
        if log_of_folder(path.parent) != request.log_id:
            continue
        try:
            found.append(_held(f"{path.as_uri()}?mode=ro"))
        except (sqlite3.Error, ValueError) as error:
            warnings.append(f"{path} cannot be read ({error})")
    reached, rows = max(found, key=lambda held: held[0], default=((0, 0), []))
    copy = Copies(store, request.log_id).beyond(task, reached)
    if copy is not None:
        rows = _of_copy(copy.data)
    elif not found:
        warnings.append(
            f"no file or copy of {task} is found below {data / 'state'} or in the object store: outcomes that fill no "
            "segment yet are left out. Name the platform's folder of data with --data"
        )
    return rows


def _of_copy(image: bytes) -> list[Row]:
    # In a folder: in memory SQLite does not open what was written ahead of its log.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.sqlite"
        path.write_bytes(image)
        return _held(f"{path.as_uri()}?immutable=1")[1]


def _held(uri: str) -> _Held:
    """Raises sqlite3.Error and ValueError for a file that is damaged."""
    with closing(sqlite3.connect(uri, uri=True)) as connection, connection:
        connection.execute("BEGIN")  # one snapshot: the task may go on meanwhile
        rows = [orjson.loads(row) for (row,) in connection.execute(_ROWS, (ARCHIVE,))]
        return reached_in(connection), rows
